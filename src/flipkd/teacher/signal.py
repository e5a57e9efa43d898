"""What the student's training reads of the teacher (docs/method.md section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce, warn
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.teacher.leak import LeakReport, check_leak, require_measurable
from flipkd.teacher.record import RECORD, FitRecord, fold_names, is_fitted, read_record
from flipkd.teacher.teacher import Teacher, cosines
from flipkd.teacher.thresholds import require_similarities

LENGTH_TOLERANCE = 1e-2
"""How far a vector's length may be from 1, which half precision allows."""
FEWEST = 10
"""Pairs of a class from which on soft labels are not said to rest on too few."""


# eq=False: arrays in a generated __eq__ raise.
@dataclass(frozen=True, eq=False)
class TeacherSignal:
    """Vectors of the texts and similarities of the training pairs.

    Raises:
        FlipkdError: If a similarity is not in [-1, 1], or a vector not of length 1.
    """

    texts: list[str]
    """The distinct texts of the training pairs in order of first appearance, then the unlabelled ones."""
    vectors: NDArray[np.float32] | None
    """(texts, d) float32, rows of length 1; None for a cross-encoder."""
    geometry: NDArray[np.int64]
    """(texts,) int64: rows of different geometry come from different teachers, and their cosines mean nothing."""
    pair_similarity: NDArray[np.float32]
    """(pairs,) float32 in [-1, 1]: T of each training pair."""
    mask_pairs: bool
    """True after a leak: the labelled pairs' own entries are left out of the distillation."""
    calibration: NDArray[np.float64]
    """(geometries, 2) float64: slope and offset that turn a similarity into the log-odds of a match, each fitted on
    pairs which that geometry's teacher did not see."""

    def __post_init__(self) -> None:
        require_similarities(self.pair_similarity)
        if self.vectors is not None:
            length = np.linalg.norm(self.vectors, axis=1)
            bad = np.flatnonzero(~(np.abs(length - 1) < LENGTH_TOLERANCE))
            if len(bad):
                raise FlipkdError(
                    f"The teacher's vectors must be of length 1; {len(bad)} of {len(length)} are not, first that of "
                    f"{self.texts[bad[0]][:80]!r} with length {length[bad[0]]:g}. Divide each by its length."
                )

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each text."""
        return {text: row for row, text in enumerate(self.texts)}

    def require_of(self, pairs: PairTable, unlabelled: Sequence[str] | None = None) -> None:
        """Refuse a signal of other pairs or texts, or of these in another order: it is read by their numbers.

        Args:
            pairs: The training pairs.
            unlabelled: All further texts; None where they are not read.

        Raises:
            FlipkdError: If it is not of these.
        """
        own = pairs.texts()
        if len(self.pair_similarity) != len(pairs) or self.texts[: len(own)] != own:
            raise FlipkdError(
                f"The teacher's signal is of other training pairs than these {len(pairs)}, or of these in another "
                "order: select or shuffle them first, then call training_signal."
            )
        if unlabelled is not None and self.texts[len(own) :] != list(unlabelled):
            raise FlipkdError(
                f"The teacher's signal is of {len(self.texts) - len(own)} unlabelled texts and here are "
                f"{len(unlabelled)}, or they are others: give each once and none that the pairs have, here and to "
                "training_signal."
            )

    def probability(self, similarity: NDArray[np.float32], geometry: NDArray[np.int64]) -> NDArray[np.float32]:
        """The teacher's calibrated probability of a match: its soft label.

        Args:
            similarity: (n,) cosines.
            geometry: (n,) the geometry each is of.

        Returns:
            (n,) float32.
        """
        from scipy.special import expit

        slope, offset = self.calibration[geometry].T
        return np.asarray(expit(slope * similarity + offset), dtype=np.float32)


def training_signal(
    teacher: str,
    pairs: PairTable,
    validation: PairTable,
    unlabelled: Sequence[str],
    *,
    cache_dir: Path | None = None,
    device: str | None = None,
) -> tuple[Teacher, TeacherSignal, LeakReport]:
    """Read a teacher on the training texts, out of fold where flipkd trained it on these very pairs.

    Args:
        teacher: A folder of `flipkd teacher train`, or any name that `Teacher.load` takes.
        pairs: The labelled training pairs.
        validation: Labelled pairs, for the leak check.
        unlabelled: Further texts, read by the teacher of all pairs; those in the pairs are not read again.
        cache_dir: Where vectors and similarities are kept; by default ~/.cache/flipkd.
        device: Where to compute.

    Returns:
        The teacher for validation, test and the artefact; what it says of the training texts; the leak check.

    Raises:
        FlipkdError: If the teacher's training is unfinished, it can't be loaded, or labels of one class are
            missing.
    """
    for table in (pairs, validation):
        require_measurable(table)
    chief = Teacher.load(teacher, device=device, cache_dir=cache_dir)
    texts = list(dict.fromkeys([*pairs.texts(), *unlabelled]))
    row = {text: number for number, text in enumerate(texts)}
    geometry = np.zeros(len(texts), dtype=np.int64)
    members: list[tuple[Teacher, NDArray[np.int64], list[str]]]
    record = _record_for(teacher, pairs)
    if record is None:
        members = [(chief, np.arange(len(pairs)), texts)]
    else:
        members = []
        for number, name in enumerate(fold_names(record.folds)):
            mate = Teacher.load(str(Path(teacher).expanduser() / name), device=device, cache_dir=cache_dir)
            rows = np.flatnonzero(np.asarray(record.fold) == number)
            members.append((mate, rows, pairs.select(rows).texts()))
        members.append((chief, np.zeros(0, dtype=np.int64), texts[len(pairs.texts()) :]))

    vectors: NDArray[np.float32] | None = None
    calibration = np.empty((len(members), 2))
    on_validation = chief.similarity(validation.text_a, validation.text_b)
    similarity = np.empty(len(pairs), dtype=np.float32)
    for number, (member, rows, own) in enumerate(members):
        at = [row[text] for text in own]
        geometry[at] = number
        sub = pairs.select(rows)
        if member.kind == "cross":
            similarity[rows] = member.similarity(sub.text_a, sub.text_b)
            calibration[number] = _calibrate(similarity[rows], sub, on_validation, validation, chief=member is chief)
            continue
        found = member.vectors(own)
        if vectors is None:
            vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
        vectors[at] = found
        a, b = (np.asarray([row[text] for text in side], dtype=np.int64) for side in (sub.text_a, sub.text_b))
        similarity[rows] = cosines(vectors, a, b)
        calibration[number] = _calibrate(similarity[rows], sub, on_validation, validation, chief=member is chief)

    report = check_leak(
        pairs,
        similarity,
        validation,
        on_validation,
        out_of_fold=record is not None,
    )
    if record is None and not report.leaks:
        _warn_of_soft_labels(float(calibration[0, 0]), validation)
    return chief, TeacherSignal(texts, vectors, geometry, similarity, report.leaks, calibration), report


def _calibrate(
    own: NDArray[np.float32],
    judged: PairTable,
    on_validation: NDArray[np.float32],
    validation: PairTable,
    *,
    chief: bool,
) -> tuple[float, float]:
    """Slope and offset of a logistic model, on validation for the teacher of all pairs, else on the fold it judges."""
    from sklearn.linear_model import LogisticRegression

    similarity, table = (on_validation, validation) if chief else (own, judged)
    # Hardly any penalty: one feature, whose unit is a cosine.
    model = LogisticRegression(C=1e4).fit(similarity[:, None], table.require_labels())
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _warn_of_soft_labels(slope: float, validation: PairTable) -> None:
    """Say where the soft labels of a teacher that is used as it is rest on little."""
    label = validation.require_labels()
    fewest = int(min(label.sum(), len(label) - label.sum()))
    if fewest < FEWEST or slope <= 0:
        why = f"{fewest} of a class are few" if slope > 0 else "there a higher similarity means fewer matches"
        warn(
            f"The teacher's soft labels were fitted on the {len(label)} validation pairs, and {why}: they may mislead. "
            "Give more validation pairs, or leave them out: --soft-weight 0."
        )


def _record_for(teacher: str, pairs: PairTable) -> FitRecord | None:
    """The record of a teacher that flipkd trained out of fold on these pairs; None for any other."""
    if not is_fitted(teacher):
        announce("teacher vectors", "one teacher for all texts", f"no {RECORD} in {teacher} tells of folds")
        return None
    record = read_record(Path(teacher).expanduser())
    if record.pairs_digest != pairs.digest():
        warn(
            f"The teacher in {teacher} was trained on other pairs than these ({RECORD} names them by their "
            "digest), so its folds don't apply: it is used as a teacher that was brought."
        )
        return None
    if record.folds == 1:
        announce("teacher vectors", "one teacher for all texts", "it was trained without folds")
        return None
    announce("teacher vectors", f"out of fold, {record.folds} folds", "each pair by the teacher that did not see it")
    return record
