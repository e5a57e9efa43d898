"""The decision threshold, fitted on validation and frozen (docs/method.md section 6)."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from flipkd.evaluation.checks import both_classes, finite


def best_threshold(value: ArrayLike, label: ArrayLike, target: Literal["f1", "accuracy"] = "f1") -> float:
    """The threshold with the best target when a match is a value >= it.

    It lies midway between two neighbouring distinct values, so equal values are decided alike and a little
    noise flips none; calling everything a match, or nothing (for accuracy), lies 1 beyond the last value.
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
    values = finite(value, "values")
    labels = both_classes(label, len(values))
    # Distinct values from high to low; cut k calls the k highest of them a match.
    distinct, where = np.unique(-values, return_inverse=True)
    distinct = -distinct
    taken = np.concatenate([[0], np.cumsum(np.bincount(where))])
    hits = np.concatenate([[0], np.cumsum(np.bincount(where, weights=labels))])
    matches, n = int(labels.sum()), len(values)
    quality = 2 * hits / (taken + matches) if target == "f1" else (2 * hits + n - taken - matches) / n
    cut = int(np.argmax(quality))
    if cut == 0:
        return float(max(distinct[0] + 1, np.nextafter(distinct[0], np.inf)))
    if cut == len(distinct):
        return float(distinct[-1] - 1)
    low, high = distinct[cut], distinct[cut - 1]
    middle = low / 2 + high / 2
    # Between two adjacent floats there is no middle: the upper one decides the same.
    return float(middle if low < middle else high)
