"""The pairs of the joint training: those with a label, and those that the teacher labels."""

from dataclasses import replace

import numpy as np

from flipkd.console import announce
from flipkd.student.inference import EncodedPairs
from flipkd.student.model import Student
from flipkd.teacher.mining import mine
from flipkd.teacher.signal import TeacherSignal
from flipkd.training.config import FlipConfig

UNLABELLED = -1


def with_mined(
    student: Student,
    pairs: EncodedPairs,
    label: np.ndarray,
    signal: TeacherSignal,
    config: FlipConfig,
    unlabelled: list[str],
) -> tuple[EncodedPairs, np.ndarray, TeacherSignal]:
    """Put mined pairs behind the labelled ones.

    Args:
        student: Encodes the further texts.
        pairs: The labelled pairs.
        label: (n,) 0 or 1.
        signal: What the teacher says of their texts, and of the further ones behind them.
        config: How many pairs to mine.
        unlabelled: The further texts.

    Returns:
        The pairs, the labels with -1 for the mined ones, and the signal with the mined pairs' similarities.
    """
    count = round(config.mined_pairs * len(label))
    if count == 0:
        return pairs, label, signal
    if signal.vectors is None:
        announce("mined pairs", "none", "a teacher of pairs alone has no vectors to find neighbours by")
        return pairs, label, signal
    found = mine(signal, pairs.a, pairs.b, count, config.seed)
    likely = int((found.probability >= 0.5).sum())
    announce("mined pairs", len(found.a), f"near neighbours by the teacher, {likely} of them likely matches")
    further = student.template.encode_texts(student.tokenizer, unlabelled)
    return (
        EncodedPairs(
            ids=pairs.ids + further, a=np.concatenate([pairs.a, found.a]), b=np.concatenate([pairs.b, found.b])
        ),
        np.concatenate([label, np.full(len(found.a), UNLABELLED)]),
        replace(signal, pair_similarity=np.concatenate([signal.pair_similarity, found.similarity])),
    )
