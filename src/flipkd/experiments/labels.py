"""The two stages without a teacher: the encoder learns from the labels alone (method ``no_teacher_answer``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainingArguments

from flipkd.data.table import PairTable
from flipkd.losses.masks import label_sets
from flipkd.losses.mcl import mcl
from flipkd.student.inference import EncodedPairs
from flipkd.student.model import Student
from flipkd.student.packing import pack
from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.thresholds import DualThresholds
from flipkd.training.batches import GroupedBatches
from flipkd.training.config import FlipConfig
from flipkd.training.stage import StageTrainer, Terms

LABEL_PASSES = 6.0
"""Of the warm-up over the pairs: labels know nothing of the further texts that the warm-up from a teacher reads too."""
LIMITS = DualThresholds(0.5, -0.5, "labels as similarities: none is in doubt")


def label_signal(pairs: PairTable) -> TeacherSignal:
    """The labels in the place of a teacher: T = 1 for a match and -1 for none, so all margins are widest."""
    texts = pairs.texts()
    return TeacherSignal(
        texts=texts,
        vectors=None,
        geometry=np.zeros(len(texts), dtype=np.int64),
        pair_similarity=np.where(pairs.require_labels() == 1, 1, -1).astype(np.float32),
        mask_pairs=False,
        calibration=np.array([[1.0, 0.0]]),
    )


class LabelWarmupTrainer(StageTrainer):
    """Stage 1 from labels: MCL's zone between the classes, on the same texts, layers and batches as the warm-up.

    Args:
        student: The student.
        args: As for any Trainer.
        config: Margins and temperature.
        pairs: Labelled training pairs.
    """

    stage = "warm-up from labels"

    def __init__(self, student: Student, args: TrainingArguments, *, config: FlipConfig, pairs: PairTable) -> None:
        encoded = EncodedPairs.of(student, pairs.text_a, pairs.text_b)
        sizes = np.array([len(ids) for ids in encoded.ids])
        batches = GroupedBatches(
            np.maximum(sizes[encoded.a], sizes[encoded.b]),
            np.zeros(len(pairs), dtype=np.int64),
            config.batch_pairs,
            config.seed,
            family=encoded.a,
        )
        self.config = config
        label = torch.from_numpy(pairs.require_labels())

        def collate(items: list[int]) -> dict[str, Any]:
            ends = np.stack([encoded.a[items], encoded.b[items]])
            distinct, where = np.unique(ends, return_inverse=True)
            left, right = torch.from_numpy(where.reshape(2, -1))
            return {
                "packed": pack(student.template, [encoded.ids[text] for text in distinct], []),
                "rows": torch.tensor(items),
                "label": label[items],
                "left": left,
                "right": right,
            }

        super().__init__(student, args, batches=batches, items=len(pairs), collator=collate)

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> Terms:
        """MCL between the classes, all margins widest."""
        vectors = model(batch["packed"]).vectors
        similarity = (vectors[batch["left"]] * vectors[batch["right"]]).sum(dim=1)
        teacher = 2.0 * batch["label"] - 1
        zones = mcl(
            similarity,
            teacher,
            *label_sets(teacher, batch["label"], LIMITS.tau_p, LIMITS.tau_n),
            tau_p=LIMITS.tau_p,
            tau_n=LIMITS.tau_n,
            margin_positive=self.config.margin_positive,
            margin_negative=self.config.margin_negative,
            temperature=self.config.mcl_temperature,
        )
        return Terms({"mcl": zones.inter}, {})
