"""Whether a teacher knows the training labels (docs/method.md section 4, our reading)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipkd.console import warn
from flipkd.data.identity import pair_keys
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.teacher.record import FitRecord

LARGEST_GAP = 0.02
"""AUC on the training pairs minus AUC on validation; more is a leak."""
LARGEST_SEEN = 0.05
"""Share of the validation or test pairs that a teacher may have been trained on; more is no chance repetition."""


@dataclass(frozen=True)
class LeakReport:
    """How well the teacher's similarities of the training pairs, and of validation, give the labels."""

    auc_train: float
    """ROC AUC of the similarities the student is to learn from."""
    auc_validation: float
    out_of_fold: bool
    """Whether each training pair's similarity comes from a teacher that did not see it."""
    reason: str

    @property
    def leaks(self) -> bool:
        """Whether the labelled pairs' own entries must be kept from the student."""
        return not self.out_of_fold and self.auc_train - self.auc_validation > LARGEST_GAP


def require_unseen(teacher: str, record: FitRecord, name: str, pairs: PairTable) -> None:
    """Refuse pairs to fit or measure on that a teacher was trained on: the check of its AUC could not tell.

    Args:
        teacher: The teacher, as the user gave it.
        record: How it was trained.
        name: Of the pairs, such as ``validation``.
        pairs: n pairs to fit or measure on.

    Raises:
        FlipkdError: If more than `LARGEST_SEEN` of them are among its training pairs, but for case and space.
    """
    if not record.pairs_seen:
        warn(f"Whether the teacher in {teacher} was trained on {name} pairs can't be told: its folder is an older one.")
        return
    seen = set(record.pairs_seen)
    known = sum(key in seen for key in pair_keys(pairs.text_a, pairs.text_b))
    if known > LARGEST_SEEN * len(pairs):
        raise FlipkdError(
            f"The teacher in {teacher} was trained on {known} of the {len(pairs)} {name} pairs ({pairs.source}), so "
            f"nothing can be fitted or measured there. Give {name} pairs of their own by --{name}; where they are a "
            "share of the training pairs, the --seed and --validation-share that it was trained with; or another "
            "teacher."
        )


def require_measurable(table: PairTable) -> None:
    """Check that pairs are labelled, with both labels.

    Raises:
        FlipkdError: If they are not.
    """
    label = table.require_labels()
    matches = int(label.sum())
    if not 0 < matches < len(label):
        raise FlipkdError(
            f"{table.source}: {matches} of {len(label)} pairs are matches; the teacher is measured on pairs of "
            "both labels. Add pairs of the missing one."
        )


def auc(table: PairTable, similarity: NDArray[np.float32]) -> float:
    """ROC AUC of the similarities of labelled pairs.

    Args:
        table: n labelled pairs.
        similarity: (n,) T of each.

    Raises:
        FlipkdError: If the labels are missing or all the same.
    """
    from sklearn.metrics import roc_auc_score

    require_measurable(table)
    return float(roc_auc_score(table.require_labels(), similarity))


def auc_error(table: PairTable, value: float) -> float:
    """The standard error of an AUC (Hanley and McNeil, 1982).

    Args:
        table: The labelled pairs, of both classes.
        value: Their AUC.
    """
    label = table.require_labels()
    matches = int(label.sum())
    others = len(label) - matches
    one, two = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (matches - 1) * (one - value**2) + (others - 1) * (two - value**2)
    return float(np.sqrt(spread / (matches * others)))


def check_leak(
    pairs: PairTable,
    pair_similarity: NDArray[np.float32],
    validation: PairTable,
    validation_similarity: NDArray[np.float32],
    *,
    out_of_fold: bool,
) -> LeakReport:
    """Compare the teacher's AUC on the training pairs and on validation; warn of a leak.

    Out of fold there is none, but for one that cannot be mended here: a teacher that was fitted on these very pairs
    before it was given. Its folds are then better on the training pairs than the whole is on validation, and if they
    are by more than chance allows (two standard errors beyond the gap), this is warned of.

    Args:
        pairs: The n training pairs.
        pair_similarity: (n,) T of each, as the student is to see it.
        validation: m labelled pairs.
        validation_similarity: (m,) T of each.
        out_of_fold: Whether the training pairs' similarities are out of fold.

    Raises:
        FlipkdError: If either table lacks labels or a class.
    """
    train, held_out = auc(pairs, pair_similarity), auc(validation, validation_similarity)
    figures = f"the teacher's AUC is {train:.3f} on the training pairs and {held_out:.3f} on validation"
    if out_of_fold:
        chance = float(np.hypot(auc_error(pairs, train), auc_error(validation, held_out)))
        if train - held_out > LARGEST_GAP + 2 * chance:
            warn(
                f"{figures[0].upper()}{figures[1:]}, though each training pair was left to a teacher that did not see "
                "it. Was the teacher fine-tuned on these pairs before? Then its folds know what they should not: give "
                "the model that it was made of. Or validation is harder than the training pairs."
            )
        return LeakReport(train, held_out, True, f"{figures}; each training pair by a teacher that did not see it")
    report = LeakReport(train, held_out, False, f"{figures}; more than {LARGEST_GAP} apart would be a leak")
    if not report.leaks:
        return report
    chance = float(np.hypot(auc_error(pairs, train), auc_error(validation, held_out)))
    warn(
        f"The teacher seems to have been fitted on the training pairs: {figures} (the difference has a standard error "
        f"of {chance:.3f}). Their own entries are left out of what the student learns from it. Better: have flipkd "
        "fine-tune the teacher, out of fold."
    )
    return LeakReport(train, held_out, False, f"{figures}, more than {LARGEST_GAP} apart: a leak")
