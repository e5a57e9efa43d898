"""Which answers to look at: confident mistakes, and labels that teacher and student both speak against."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError


def worst_mistakes(
    label: ArrayLike, probability: ArrayLike, match: ArrayLike, review: ArrayLike | None = None
) -> NDArray[np.int64]:
    """The rows that are decided wrongly, those whose probability is farthest from the label first.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) of a match.
        match: (n,) bool, what was decided.
        review: (n,) bool, where the decision was left to somebody: that is no mistake.
    """
    labels, off = np.asarray(label), np.abs(np.asarray(probability) - np.asarray(label))
    off_the_label = np.asarray(match).astype(np.int64) != labels
    wrong = np.flatnonzero(off_the_label if review is None else off_the_label & ~np.asarray(review))
    return wrong[np.argsort(-off[wrong], kind="stable")]


def likely_label_noise(
    label: ArrayLike,
    probability: ArrayLike,
    teacher: ArrayLike,
    *,
    tau_p: float,
    tau_n: float,
    sure: float,
) -> NDArray[np.int64]:
    """The rows where teacher and student are both sure of the other label, the student's surest first.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) of a match, the student's.
        teacher: (n,) similarities of the teacher.
        tau_p: The teacher is sure of a match from this similarity on.
        tau_n: And of none up to this one.
        sure: The student is sure of a match from this probability on, and of none up to 1 - it.

    Raises:
        FlipkdError: If `sure` is not above 0.5 and below 1.
    """
    if not 0.5 < sure < 1:
        raise FlipkdError(f"The probability from which the student is sure must lie between 0.5 and 1; it is {sure}.")
    labels, p, t = np.asarray(label), np.asarray(probability), np.asarray(teacher)
    says_match, says_none = (p >= sure) & (t >= tau_p), (p <= 1 - sure) & (t <= tau_n)
    against = np.flatnonzero(np.where(labels == 1, says_none, says_match))
    return against[np.argsort(-np.abs(p - labels)[against], kind="stable")]
