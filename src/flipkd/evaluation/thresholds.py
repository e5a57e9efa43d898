"""The decision threshold, fitted on validation and frozen (docs/method.md section 6)."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.evaluation.checks import both_classes, finite


class Cuts(NamedTuple):
    """Every way to divide values by a threshold, from calling nothing a match to calling everything one.

    A cut lies midway between two neighbouring distinct values, so equal values are decided alike and a little
    noise flips none; the first and the last lie 1 beyond the outermost values.

    Attributes:
        threshold: (k,) float64, falling: a match is a value >= it.
        hits: (k,) float64 matches that are called one, rising.
        alarms: (k,) float64 non-matches that are called a match, rising.
    """

    threshold: NDArray[np.float64]
    hits: NDArray[np.float64]
    alarms: NDArray[np.float64]


def cuts(value: ArrayLike, label: ArrayLike) -> Cuts:
    """All cuts of the values; O(n log n).

    Args:
        value: (n,) finite numbers that grow with the match.
        label: (n,) 0 or 1, both present.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    values = finite(value, "values")
    labels = both_classes(label, len(values))
    distinct, where = np.unique(-values, return_inverse=True)
    distinct = -distinct
    hits = np.concatenate([[0], np.cumsum(np.bincount(where, weights=labels))])
    alarms = np.concatenate([[0], np.cumsum(np.bincount(where, weights=1 - labels))])
    high, low = distinct[:-1], distinct[1:]
    middle = low / 2 + high / 2
    # Between two adjacent floats there is no middle: the upper one decides the same.
    inner = np.where(low < middle, middle, high)
    above = max(distinct[0] + 1, np.nextafter(distinct[0], np.inf))
    return Cuts(np.concatenate([[above], inner, [distinct[-1] - 1]]), hits, alarms)


def best_cut(
    found: Cuts, target: Literal["f1", "accuracy"] = "f1", *, match_weight: float = 1.0, other_weight: float = 1.0
) -> int:
    """The cut with the best target; where several do equally well, the highest threshold.

    Args:
        found: The cuts.
        target: What to maximise.
        match_weight: How many pairs each match stands for.
        other_weight: How many pairs each non-match stands for.
    """
    hits, alarms = match_weight * found.hits, other_weight * found.alarms
    matches, others = hits[-1], alarms[-1]
    if target == "f1":
        return int(np.argmax(2 * hits / (hits + alarms + matches)))
    return int(np.argmax((hits + others - alarms) / (matches + others)))


def best_threshold(value: ArrayLike, label: ArrayLike, target: Literal["f1", "accuracy"] = "f1") -> float:
    """The threshold with the best target when a match is a value >= it, one of `Cuts`.

    Where several do equally well, the highest is taken. Which pairs match depends on the order of the
    values alone, and so not on their scale.

    Args:
        value: (n,) finite numbers that grow with the match.
        label: (n,) 0 or 1, both present.
        target: What to maximise.

    Returns:
        A finite number; O(n log n).

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    found = cuts(value, label)
    return float(found.threshold[best_cut(found, target)])
