"""The two stages without a teacher: the encoder learns from the labels alone (method ``no_teacher_answer``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainingArguments

from flipkd.data.table import PairTable
from flipkd.losses.infonce import infonce
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
    """Stage 1 from labels: InfoNCE on the same texts, layers and batch sizes as the warm-up.

    Not MCL's zone between the classes, as the joint stage has: it compares labelled pairs alone, and the encoders of
    real students ended with nearly equal vectors (docs/lab-log.md).

    Args:
        student: The student.
        args: As for any Trainer.
        config: Size of a batch, seed and temperature.
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
        """Each match's b is to be found among the b of the batch, those of non-matches included."""
        vectors = model(batch["packed"]).vectors
        left, right, match = batch["left"], batch["right"], batch["label"] == 1
        similarity = vectors[left] @ vectors[right].T
        positive = torch.diag(match)
        # Neither an equal text nor a b that is known to match the same a is wrong.
        same = (right[None, :] == right[:, None]) | (right[None, :] == left[:, None])
        negative = ~same & ~(match[None, :] & (left[None, :] == left[:, None]))
        return Terms(
            {"infonce": infonce(similarity, similarity, positive, negative, temperature=self.config.mcl_temperature)},
            {},
        )
