"""One run of sentence-transformers' own trainer, without leftovers: no checkpoints, no card, no log services."""

import math
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from torch.utils.data import BatchSampler
from transformers import PrinterCallback, TrainerCallback

from flipkd.console import progress_bar
from flipkd.data.table import PairTable
from flipkd.device import use_one_gpu
from flipkd.errors import FlipkdError
from flipkd.teacher.loading import Kind

POOL_BATCHES = 16
"""Rows are sorted by length within shuffled pools of this many batches."""


class LengthBatches(DefaultBatchSampler):  # type: ignore[misc]
    """Batches of pairs whose longer texts are of like length, new in every epoch.

    Half the tokens of random batches of short texts are padding.
    """

    def __init__(self, dataset: Dataset, batch_size: int, drop_last: bool, seed: int = 0, **_: Any) -> None:
        super().__init__(range(len(dataset)), batch_size=batch_size, drop_last=drop_last)
        pairs = zip(dataset["text_a"], dataset["text_b"], strict=True)
        self.lengths = np.asarray([max(len(a), len(b)) for a, b in pairs])
        self.seed = seed

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        rows = rng.permutation(len(self.lengths))
        pool_size = self.batch_size * POOL_BATCHES
        pools = [rows[start : start + pool_size] for start in range(0, len(rows), pool_size)]
        batches = [
            batch
            for pool in pools
            for batch in BatchSampler(
                pool[np.argsort(self.lengths[pool], kind="stable")].tolist(), self.batch_size, self.drop_last
            )
        ]
        for number in rng.permutation(len(batches)):
            yield batches[number]


class Bar(TrainerCallback):  # type: ignore[misc]
    """flipkd's progress bar in place of the trainer's."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.progress = progress_bar()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Show it."""
        self.progress.start()
        self.task = self.progress.add_task(self.description, total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Move it."""
        self.progress.update(self.task, completed=state.global_step)


class _NoCard:
    """The card would quote the user's texts, and is not written."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Nothing is collected for a card."""


class BiTrainer(_NoCard, SentenceTransformerTrainer):  # type: ignore[misc]
    """The trainer of bi-encoders."""


class CrossTrainer(_NoCard, CrossEncoderTrainer):  # type: ignore[misc]
    """The trainer of cross-encoders."""


def train(
    model: Any,
    kind: Kind,
    pairs: PairTable,
    *,
    epochs: float,
    batch_size: int,
    learning_rate: float,
    warmup: float,
    seed: int,
    description: str,
) -> None:
    """Fine-tune a model in place: CoSENT for a bi-encoder, binary cross-entropy for a cross-encoder.

    Args:
        model: From `load_model`, in float32.
        kind: Its kind.
        pairs: Labelled pairs.
        epochs: Passes over them.
        batch_size: Pairs of a batch.
        learning_rate: At its peak; it falls linearly.
        warmup: Share of the steps over which it rises.
        seed: Of dropout and the order of the batches.
        description: The words beside the progress bar.
    """
    label = pairs.require_labels().astype(np.float32).tolist()
    train_on(
        model,
        kind,
        Dataset.from_dict({"text_a": pairs.text_a, "text_b": pairs.text_b, "label": label}),
        CoSENTLoss(model) if kind == "bi" else BinaryCrossEntropyLoss(model),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=warmup,
        seed=seed,
        description=description,
    )


def train_on(
    model: Any,
    kind: Kind,
    dataset: Dataset,
    loss: Any,
    *,
    epochs: float,
    batch_size: int,
    learning_rate: float,
    warmup: float,
    seed: int,
    description: str,
) -> None:
    """Train a model in place on any loss of sentence-transformers.

    Args:
        model: In float32.
        kind: Its kind.
        dataset: With ``text_a`` and ``text_b``, and what the loss wants besides.
        loss: Made for this model.
        epochs: As for `train`, and so the rest.
        batch_size: Pairs of a batch.
        learning_rate: At its peak.
        warmup: Share of the steps.
        seed: Of dropout and the order of the batches.
        description: The words beside the progress bar.

    Raises:
        FlipkdError: If a weight is not finite afterwards, so that no such model is written.
    """
    on_cpu = model.device.type == "cpu"
    make_args = SentenceTransformerTrainingArguments if kind == "bi" else CrossEncoderTrainingArguments
    make_trainer = BiTrainer if kind == "bi" else CrossTrainer
    with tempfile.TemporaryDirectory() as unused:
        args = make_args(
            output_dir=unused,
            num_train_epochs=epochs,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            # A share of less than a step would be rounded up to one, whose rate is 0: of a single step, nothing learnt.
            warmup_steps=warmup if warmup * epochs * math.ceil(len(dataset) / batch_size) >= 1 else 0,
            batch_sampler=LengthBatches,
            # The prompt that reading the texts puts before them; the trainer adds none by itself.
            prompts=model.prompts.get(model.default_prompt_name),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
        )
        use_one_gpu(args)
        bar = Bar(description)
        trainer = make_trainer(model=model, args=args, train_dataset=dataset, loss=loss, callbacks=[bar])
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train()
        finally:
            bar.progress.stop()
    model.eval()
    broken = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if broken:
        raise FlipkdError(
            f"{description}: after training, {len(broken)} weights are not finite, first {broken[0]}. Nothing was "
            "written; lower the learning rate."
        )
