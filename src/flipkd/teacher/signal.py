"""What the student's training reads of the teacher (docs/method.md section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flipkd.console import announce, warn
from flipkd.data.table import PairTable
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.training import ALL, is_fitted, read_record

LEAK = 0.02
"""An AUC on the training pairs this much above validation's means that the teacher has seen their labels."""


@dataclass(frozen=True)
class TeacherSignal:
    """The teacher's numbers for the training texts.

    Attributes:
        texts: The distinct texts of the training pairs, in order of first appearance, then the unlabelled ones.
        vectors: (texts, d) float32 unit rows; `None` for a cross-encoder.
        geometry: (texts,) int64; vectors of different geometries come from different models, and their cosines
            mean nothing.
        pair_similarity: (pairs,) float32, T of each training pair.
        mask_pairs: After a leak: the labelled pairs' own entries are left out of the distillation.
    """

    texts: list[str]
    vectors: np.ndarray | None
    geometry: np.ndarray
    pair_similarity: np.ndarray
    mask_pairs: bool


@dataclass(frozen=True)
class LeakReport:
    """Whether the teacher gives the training labels away.

    Attributes:
        auc_train: AUC of the similarities that training reads.
        auc_validation: AUC on validation.
        out_of_fold: Whether each training pair was scored by a teacher that did not see it.
        reason: The finding in words.
    """

    auc_train: float
    auc_validation: float
    out_of_fold: bool
    reason: str


def training_signal(
    name: str,
    pairs: PairTable,
    validation: PairTable,
    unlabelled: Sequence[str],
    *,
    cache_dir: Path | None,
    device: str | None,
) -> tuple[Teacher, TeacherSignal, LeakReport]:
    """Read a teacher: out of fold where it was trained so, else as it is, with the leak check.

    Args:
        name: A folder of `fit_teacher`, or any teacher.
        pairs: The training pairs.
        validation: Labelled pairs for the leak check.
        unlabelled: Further texts, none of which is in the pairs.
        cache_dir: Where the numbers are kept, by content.
        device: Where to compute.

    Returns:
        The teacher that reads everything but the training pairs, the signal, and the leak's report.
    """
    fold = np.zeros(len(pairs), dtype=np.int64)
    source, folds = name, 1
    if is_fitted(name):
        source = str(Path(name) / ALL)
        record = read_record(Path(name))
        if record.digest == pairs.digest():
            fold, folds = np.array(record.fold), record.folds
        else:
            announce("out of fold", "no", f"{name} was trained on other pairs than these")
    teacher = Teacher.load(source, device=device, cache_dir=cache_dir)
    if folds == 1:
        signal = _read(teacher, pairs, unlabelled)
    else:
        parts = [
            Teacher.load(str(Path(name) / f"fold-{held_out}"), device=device, cache_dir=cache_dir)
            for held_out in range(folds)
        ]
        signal = _read_folds(teacher, parts, pairs, fold, unlabelled)
    return teacher, *_leak(teacher, signal, pairs, validation, out_of_fold=folds > 1)


def _read(teacher: Teacher, pairs: PairTable, unlabelled: Sequence[str]) -> TeacherSignal:
    texts = [*pairs.texts(), *unlabelled]
    return TeacherSignal(
        texts=texts,
        vectors=teacher.vectors(texts) if teacher.kind == "bi" else None,
        geometry=np.zeros(len(texts), dtype=np.int64),
        pair_similarity=teacher.similarity(pairs.text_a, pairs.text_b),
        mask_pairs=False,
    )


def _read_folds(
    teacher: Teacher, parts: list[Teacher], pairs: PairTable, fold: np.ndarray, unlabelled: Sequence[str]
) -> TeacherSignal:
    """Each training text by the teacher that did not see it; the unlabelled ones by the one trained on all."""
    texts = pairs.texts()
    where = {text: i for i, text in enumerate(texts)}
    geometry = np.zeros(len(texts), dtype=np.int64)
    for side in (pairs.text_a, pairs.text_b):
        geometry[[where[text] for text in side]] = fold
    similarity = np.zeros(len(pairs), dtype=np.float32)
    vectors: dict[int, np.ndarray] = {}
    for number, part in enumerate(parts):
        rows = np.flatnonzero(fold == number)
        chosen = pairs.select(rows)
        similarity[rows] = part.similarity(chosen.text_a, chosen.text_b)
        if part.kind == "bi":
            of_fold = np.flatnonzero(geometry == number)
            vectors.update(zip(of_fold.tolist(), part.vectors([texts[i] for i in of_fold]), strict=True))
    return TeacherSignal(
        texts=[*texts, *unlabelled],
        vectors=_stacked(teacher, vectors, unlabelled),
        geometry=np.concatenate([geometry, np.full(len(unlabelled), len(parts), dtype=np.int64)]),
        pair_similarity=similarity,
        mask_pairs=False,
    )


def _stacked(teacher: Teacher, vectors: dict[int, np.ndarray], unlabelled: Sequence[str]) -> np.ndarray | None:
    if teacher.kind == "cross":
        return None
    in_pairs = np.stack([vectors[text] for text in range(len(vectors))])
    return np.concatenate([in_pairs, teacher.vectors(unlabelled)]) if unlabelled else in_pairs


def _leak(
    teacher: Teacher, signal: TeacherSignal, pairs: PairTable, validation: PairTable, *, out_of_fold: bool
) -> tuple[TeacherSignal, LeakReport]:
    from dataclasses import replace

    from sklearn.metrics import roc_auc_score

    train = float(roc_auc_score(pairs.require_labels(), signal.pair_similarity))
    similarity = teacher.similarity(validation.text_a, validation.text_b)
    held_out = float(roc_auc_score(validation.require_labels(), similarity))
    figures = f"AUC {train:.4f} on the training pairs, {held_out:.4f} on validation"
    if out_of_fold:
        return signal, LeakReport(train, held_out, True, f"out of fold; {figures}")
    if train - held_out > LEAK:
        warn(
            f"The teacher has seen the training labels: {figures}. The labelled pairs' own entries are left out of "
            "the distillation. Better: let flipkd fine-tune the teacher out of fold."
        )
        return replace(signal, mask_pairs=True), LeakReport(train, held_out, False, f"a leak: {figures}")
    return signal, LeakReport(train, held_out, False, f"no leak: {figures}")
