"""How sure a difference between two methods is: the bootstrap over test rows, paired, with the seeds pooled.

A replicate draws the test rows anew, with replacement; every method and every seed is measured on the same
draw. A method's figure in a replicate is its mean over the seeds, so an interval speaks of other test pairs, not of
other trainings. For those the seeds are drawn anew, too, the same for both methods; of three seeds that is a rough
guess, and rather too narrow, since their spread is known from three values.

Rows keep their order by value, so a replicate is no more than a count for each row: nothing is sorted again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError
from flipkd.evaluation.checks import both_classes, finite

Floats = NDArray[np.float64]
Metric = Literal["f1", "accuracy", "ap", "auc"]

REPLICATES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """One metric of one method and seed.

    Attributes:
        whole: On the test rows themselves.
        drawn: (R,) float64, in each replicate.
    """

    whole: float
    drawn: Floats


@dataclass(frozen=True)
class Interval:
    """A difference between two methods, the first minus the second, and where it lies with 95 % confidence."""

    difference: float
    """On the test rows themselves, mean over the seeds."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""
    seeds: int
    """How many seeds both methods have: what was averaged."""
    anew: tuple[float, float]
    """Both ends when the seeds are drawn anew, too: other trainings on other test pairs. Of one seed they are those
    above."""

    @property
    def half_width(self) -> float:
        """Half the length: about the smallest difference that could have been told from none."""
        return (self.high - self.low) / 2

    @property
    def settled(self) -> bool:
        """Whether 0, no difference at all, lies outside."""
        return self.low > 0 or self.high < 0

    @property
    def settled_anew(self) -> bool:
        """Whether it lies outside of `anew`, too."""
        return self.anew[0] > 0 or self.anew[1] < 0


def draw_rows(
    label: ArrayLike,
    group: ArrayLike,
    replicates: int = REPLICATES,
    seed: int | Sequence[int] = 0,
    *,
    both: bool = True,
) -> Floats:
    """Draw the replicates: how often each row is in each. Whole groups are drawn, as many as there are.

    A replicate without a match, or without a non-match, has no AP or AUC: it is drawn again. The interval is thus
    that of test sets which hold both, as every measured one does.

    Args:
        label: (n,) 0 or 1, both present.
        group: (n,) rows of one group come together, since pairs that share a text are no independent observations.
        replicates: R, how many.
        seed: The same seed draws the same rows.
        both: Whether the rows, and each replicate, must hold both classes; accuracy alone needs it not.

    Returns:
        (n, R) float64 counts; each column sums to n where all groups are of one size.

    Raises:
        FlipkdError: If the labels are of one class, where both are needed.
    """
    labels = both_classes(label, np.size(label)) if both else np.asarray(label)
    rng = np.random.default_rng(seed)
    _, of = np.unique(group, return_inverse=True)
    n = int(of.max()) + 1
    counts = np.zeros((len(labels), replicates))
    lacking = np.ones(replicates, dtype=bool)
    while lacking.any():
        counts[:, lacking] = rng.multinomial(n, np.full(n, 1 / n), size=int(lacking.sum())).T[of]
        matches = labels @ counts
        lacking = both & ((matches == 0) | (matches == counts.sum(axis=0)))
    return counts


def estimate(metric: Metric, label: ArrayLike, said: ArrayLike, counts: Floats) -> Estimate:
    """Measure one method and seed on the test rows and in every replicate.

    Equal to scikit-learn's figures on the repeated rows; tied values stand at one threshold.

    Args:
        metric: Which.
        label: (n,) 0 or 1, both present but for accuracy.
        said: (n,) what the method says: for F1 and accuracy its decisions as bool, for AP and AUC its values.
        counts: (n, R) of `draw_rows`.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    of = {"f1": _f1, "accuracy": _accuracy, "ap": _ap, "auc": _auc}[metric]
    values = finite(said, "predictions")
    labels = np.asarray(label) if metric == "accuracy" else both_classes(label, len(values))
    match = labels.astype(np.float64)
    return Estimate(float(of(match, values, np.ones((len(match), 1)))[0]), of(match, values, counts))


def paired_interval(left: Mapping[int, Estimate], right: Mapping[int, Estimate]) -> Interval | None:
    """The interval of left minus right over the seeds that both have: percentiles of the replicates' differences.

    Args:
        left: One method's estimates by seed, all of the same replicates.
        right: The other's, of those replicates too.

    Returns:
        None if no seed is on both sides.
    """
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        return None
    whole = float(np.mean([left[seed].whole - right[seed].whole for seed in seeds]))
    drawn = np.stack([left[seed].drawn - right[seed].drawn for seed in seeds])
    others = np.random.default_rng(0).integers(len(seeds), size=drawn.shape)
    anew = np.take_along_axis(drawn, others, axis=0)
    return Interval(whole, *_ends(drawn.mean(axis=0)), len(seeds), _ends(anew.mean(axis=0)))


def _ends(drawn: Floats) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation over seeds (n - 1 below the line); no deviation of a single value.

    Raises:
        FlipkdError: If there is no value.
    """
    if not values:
        raise FlipkdError("There is no value to average.")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _f1(match: Floats, called: Floats, counts: Floats) -> Floats:
    hits = (match * called) @ counts
    return np.asarray(2 * hits / (called @ counts + match @ counts))


def _accuracy(match: Floats, called: Floats, counts: Floats) -> Floats:
    return np.asarray((match == called).astype(np.float64) @ counts / counts.sum(axis=0))


def _steps(match: Floats, value: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Drawn matches and drawn rows at or above each distinct value, the highest first; (distinct values, R) each."""
    order = np.argsort(-value, kind="stable")
    ordered, drawn = value[order], counts[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return (drawn * match[order, None]).cumsum(axis=0)[ends], drawn.cumsum(axis=0)[ends]


def _ap(match: Floats, value: Floats, counts: Floats) -> Floats:
    matches, rows = _steps(match, value, counts)
    # Above the first row that was drawn there is neither a match nor a row: 0 of 1 in the place of 0 of 0.
    precision = matches / np.maximum(rows, 1)
    return np.asarray((np.diff(matches, axis=0, prepend=0) * precision).sum(axis=0) / matches[-1])


def _auc(match: Floats, value: Floats, counts: Floats) -> Floats:
    matches, rows = _steps(match, value, counts)
    others = rows - matches
    below = others[-1] - others + np.diff(others, axis=0, prepend=0) / 2
    return np.asarray((np.diff(matches, axis=0, prepend=0) * below).sum(axis=0) / (matches[-1] * others[-1]))
