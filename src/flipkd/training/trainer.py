"""The two stages: the encoder's warm-up without labels, and the joint training (docs/method.md section 5)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainerControl, TrainingArguments

from flipkd.console import announce, warn
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.losses.classification import label_cross_entropy
from flipkd.losses.distillation import distillation, pair_distillation
from flipkd.losses.masks import label_sets, matrix_sets, threshold_sets
from flipkd.losses.mcl import mcl
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.model import Student
from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.thresholds import DualThresholds, random_ceiling
from flipkd.training.batches import GroupedBatches, KnownLabels, PairCollator, TextCollator, neighbour_groups
from flipkd.training.config import FlipConfig
from flipkd.training.stage import StageTrainer, Terms


class WarmupTrainer(StageTrainer):
    """Stage 1: the encoder learns the teacher's similarities, without labels.

    Only the layers up to the last site run, and only their adapters are trained here.

    Args:
        student: The student.
        args: As for any Trainer.
        config: Weights and temperature of the distillation.
        pairs: The training pairs; their labels are not read.
        signal: The teacher's vectors of their texts, and of further texts behind them.
        unlabelled: The further texts, batched with their nearest neighbours.

    Raises:
        AssertionError: If the teacher gives no vectors; the whole job leaves the warm-up out then.
        FlipkdError: If the signal is of other texts.
    """

    stage = "warm-up"

    def __init__(
        self,
        student: Student,
        args: TrainingArguments,
        *,
        config: FlipConfig,
        pairs: PairTable,
        signal: TeacherSignal,
        unlabelled: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        assert signal.vectors is not None, "a pair-only teacher has no warm-up"
        signal.require_of(pairs, unlabelled or [])
        encoded = EncodedPairs.of(student, pairs.text_a, pairs.text_b)
        in_pairs = len(encoded.ids)
        further = student.template.encode_texts(student.tokenizer, unlabelled or [])
        encoded = EncodedPairs(ids=encoded.ids + further, a=encoded.a, b=encoded.b)
        sizes = np.array([len(ids) for ids in encoded.ids])
        group = signal.geometry[encoded.a]
        if further:
            gathered = neighbour_groups(signal.vectors[in_pairs:], config.batch_pairs, config.seed)
            group = np.concatenate([group, group.max() + 1 + gathered])
        batches = GroupedBatches(
            np.concatenate([np.maximum(sizes[encoded.a], sizes[encoded.b]), sizes[in_pairs:]]),
            group,
            config.batch_pairs,
            config.seed,
            family=np.concatenate([encoded.a, len(encoded.ids) + np.arange(len(further))]),
        )
        collator = TextCollator(student.template, encoded, signal)
        self.config = config
        self._pairs, self._unlabelled = pairs, unlabelled or []
        super().__init__(student, args, batches=batches, items=len(group), collator=collator, **kwargs)

    def where(self, rows: list[int]) -> str:
        """Pairs by their lines; further texts as they are."""
        n = len(self._pairs)
        further = [repr(self._unlabelled[row - n][:80]) for row in rows if row >= n]
        return "; ".join([*_lines(self._pairs, [row for row in rows if row < n]), *further])

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> Terms:
        """L_dist over the distinct texts of the batch."""
        vectors = model(batch["packed"]).vectors
        return _distillation_terms(vectors, batch, self.config, weight=1.0)


class FlipTrainer(StageTrainer):
    """Stage 2: L_CE + lambda_s L_soft + lambda_m L_MCL + lambda_d L_dist; plain fine-tuning by L_CE without a signal.

    Args:
        student: The student.
        args: As for any Trainer.
        config: Weights, margins and temperatures.
        pairs: Labelled training pairs.
        signal: What the teacher says of them; `None` trains the labels alone.
        thresholds: The dual thresholds; needed with a signal.
        validation: Labelled pairs on which `evaluate` measures, for early stopping.
        kwargs: Further arguments of the Trainer, such as callbacks.

    Raises:
        FlipkdError: If the validation pairs are of one label, or the settings ask for what the teacher cannot give.
    """

    stage = "joint training"
    metric_names = ("eval_loss", "eval_ap", "eval_auc")

    def __init__(
        self,
        student: Student,
        args: TrainingArguments,
        *,
        config: FlipConfig,
        pairs: PairTable,
        signal: TeacherSignal | None = None,
        thresholds: DualThresholds | None = None,
        validation: PairTable | None = None,
        **kwargs: Any,
    ) -> None:
        if signal is None:
            self.stage = "fine-tuning"
        else:
            assert thresholds is not None, "the teacher's similarities are read through its dual thresholds"
            signal.require_of(pairs)
        encoded = EncodedPairs.of(student, pairs.text_a, pairs.text_b)
        label = pairs.require_labels()
        group = np.zeros(len(label), dtype=np.int64)
        if signal is not None:
            group = signal.geometry[encoded.a]
        sizes = np.array([len(ids) for ids in encoded.ids])
        batches = GroupedBatches(
            sizes[encoded.a] + sizes[encoded.b],
            group,
            config.batch_pairs,
            config.seed,
            family=encoded.a,
            both_orders=not config.directed,
        )
        self.config = config
        self.thresholds = thresholds
        self._uses_signal = signal is not None
        self._soft_weight = config.soft_weight
        self._masked = signal is not None and signal.mask_pairs
        if self._masked:
            announce("soft labels", "none", "the teacher knows the training labels, and would only repeat them")
            self._soft_weight = 0.0
            if config.sets == "thresholds":
                warn("--sets thresholds is meant to show the encoder no labels, but this teacher repeats them.")
        if signal is not None and args.gradient_accumulation_steps > 1:
            announce(
                "comparisons",
                f"within {config.batch_pairs} pairs",
                f"MCL and the distillation see one batch at a time; {args.gradient_accumulation_steps} of them in a "
                "step are not one larger batch",
            )
        known = None
        if signal is not None and config.sets == "matrix":
            if signal.vectors is None:
                raise FlipkdError("--sets matrix needs a teacher of texts; a cross-encoder knows pairs alone.")
            known = KnownLabels(encoded, label)
            # Of the pairs' texts alone: further ones, of the warm-up, come behind them.
            n = len(encoded.ids)
            self._random_ceiling = random_ceiling(signal.vectors[:n], signal.geometry[:n], config.seed)
            announce("unlabelled positives", f"T above {self._random_ceiling:.3f}", "99.9 % of random pairs are below")
            if (memory := 4 * config.batch_pairs**4 / 2**30) >= 1:
                warn(
                    f"--sets matrix compares every two of the {config.batch_pairs**2} entries of a batch: several "
                    f"tensors of up to {memory:.0f} GB each. Lower --batch-pairs if memory runs out."
                )
        if validation is not None and len(np.unique(validation.require_labels())) < 2:
            raise FlipkdError(
                f"{validation.source}: the validation pairs are all of one label; AP and AUC need both. Add the other."
            )
        self._pairs, self._validation = pairs, validation
        super().__init__(
            student,
            args,
            batches=batches,
            items=2 * len(label),
            collator=PairCollator(student.template, encoded, label, signal, known),
            eval_dataset=validation,
            **kwargs,
        )

    def where(self, rows: list[int]) -> str:
        """The pairs by their lines."""
        return "; ".join(_lines(self._pairs, rows))

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> Terms:
        """Each term, weighted; MCL and the distillation read the vectors of the same forward."""
        label = batch["label"]
        log_odds, vectors = model(batch["packed"])
        ce = label_cross_entropy(log_odds, label)
        if not self._uses_signal:
            return Terms({"ce": ce}, {})
        similarity = (vectors[batch["left"]] * vectors[batch["right"]]).sum(dim=1)
        teacher = batch["pair_teacher"]
        zones = mcl(
            *self._compared(similarity, teacher, vectors, batch),
            tau_p=self._limits.tau_p,
            tau_n=self._limits.tau_n,
            margin_positive=self.config.margin_positive,
            margin_negative=self.config.margin_negative,
            temperature=self.config.mcl_temperature,
            kappa=self.config.intra_scale,
            delta=self.config.intra_gap,
        )
        soft = {}
        if self._soft_weight:
            soft["soft"] = self._soft_weight * label_cross_entropy(log_odds, batch["soft"])
        weight = self.config.distillation_weight
        if "teacher" in batch:
            distilled = _distillation_terms(vectors, batch, self.config, weight=weight)
        else:
            keep = torch.full_like(similarity, not self._masked, dtype=torch.bool)
            squared = pair_distillation(similarity, teacher, keep)
            distilled = Terms({"distillation": weight * self.config.squared_weight * squared}, {"squared": squared})
        return Terms(
            {
                "ce": ce,
                **soft,
                "mcl": self.config.mcl_weight * (zones.inter + self.config.intra_weight * zones.intra),
                **distilled.weighted,
            },
            {"mcl_inter": zones.inter, "mcl_intra": zones.intra, **distilled.parts},
        )

    @property
    def _limits(self) -> DualThresholds:
        assert self.thresholds is not None
        return self.thresholds

    def _compared(
        self, similarity: Tensor, teacher: Tensor, vectors: Tensor, batch: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What MCL runs on, (K,) each: S, T and the sets P and N; of the pairs, or of every a with every b."""
        limits = self._limits.tau_p, self._limits.tau_n
        if self.config.sets == "labels":
            return similarity, teacher, *label_sets(teacher, batch["label"], *limits)
        if self.config.sets == "thresholds":
            return similarity, teacher, *threshold_sets(teacher, *limits)
        left, right = batch["left"], batch["right"]
        matrix = batch["teacher"][left][:, right]
        positive, negative = matrix_sets(
            matrix, batch["known"], left[:, None] == right[None, :], *limits, self._random_ceiling
        )
        return (vectors[left] @ vectors[right].T).flatten(), matrix.flatten(), positive.flatten(), negative.flatten()

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """The decoder on validation: loss, AP and ROC AUC."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        assert self._validation is not None
        label = self._validation.require_labels()
        encoded = EncodedPairs.of(self.model, self._validation.text_a, self._validation.text_b)
        log_odds = Reader(self.model).log_odds(encoded)
        loss = label_cross_entropy(torch.from_numpy(log_odds), torch.from_numpy(label))
        metrics = {
            f"{metric_key_prefix}_loss": float(loss),
            f"{metric_key_prefix}_ap": float(average_precision_score(label, log_odds)),
            f"{metric_key_prefix}_auc": float(roc_auc_score(label, log_odds)),
        }
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _lines(pairs: PairTable, rows: list[int]) -> list[str]:
    """The source of some rows of a table, and their lines in it."""
    lines = ", ".join(str(line) for line in sorted({pairs.line[row] for row in rows}))
    return [f"{pairs.source}, lines {lines}"] if rows else []


def _distillation_terms(vectors: Tensor, batch: Mapping[str, Any], config: FlipConfig, weight: float) -> Terms:
    found = distillation(
        vectors @ vectors.T, batch["teacher"], keep=batch["keep"], temperature=config.distillation_temperature
    )
    return Terms(
        {"distillation": weight * (found.kl + config.squared_weight * found.squared)},
        {"kl": found.kl, "squared": found.squared},
    )
