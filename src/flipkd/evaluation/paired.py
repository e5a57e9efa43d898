"""Two systems on the same test pairs: is one really better? (docs/how-to/compare.md).

Nothing is fitted here. Decisions come as each system's own frozen threshold made them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.data.splits import INDEPENDENT, independent_groups
from flipkd.evaluation.checks import both_classes
from flipkd.evaluation.intervals import REPLICATES, Estimate, Interval, Metric, draw_rows, estimate, paired_interval

Bools = NDArray[np.bool_]

BLOCK = 4_000_000
"""Counts held at once: replicates are drawn in blocks, so that memory stays the same whatever the test set's size."""
FEWEST_INDEPENDENT = 20
"""With fewer independent groups of pairs a percentile interval is too narrow to decide by."""
FEW_PAIRS, FEW_OF_A_CLASS = 100, 20
"""A slice with fewer pairs, or fewer of a class, is marked: its figures are anecdotes."""


@dataclass(frozen=True, eq=False)
class System:
    """What one system says of the n test pairs."""

    name: str
    """As it is called in the report."""
    match: Bools
    """(n,) bool, decided at its own frozen threshold."""
    value: NDArray[np.float64] | None
    """(n,) float64 that grow with the match, such as probabilities; None where only decisions are known."""
    origin: str
    """Where the decisions come from, in words."""
    warnings: tuple[str, ...] = ()
    """What makes its figures flatter, in sentences."""


@dataclass(frozen=True)
class Gap:
    """One metric of both systems, and how far B is ahead of A."""

    a: float
    """Of A, on the test pairs themselves."""
    b: float
    """Of B."""
    interval: Interval
    """Of b - a."""
    trusted: bool
    """Whether there are independent groups of pairs enough for an interval: of one group every draw is the same."""

    @property
    def missed_below(self) -> float:
        """A true difference of less than this would more often than one time in five go unseen.

        The half-width is 1.96 standard errors; to be seen with a chance of 80 % a difference needs 2.8 of them.
        """
        return self.interval.half_width * (1.96 + 0.84) / 1.96

    def as_dict(self) -> dict[str, float | None]:
        """The numbers by name, ready for JSON; an interval that is not to be trusted is None."""
        found = self.interval
        low, high = (found.low, found.high) if self.trusted else (None, None)
        return {"a": self.a, "b": self.b, "difference": found.difference, "low": low, "high": high}


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of equal accuracy: only the pairs that one system alone decides rightly speak."""

    only_a: int
    """Pairs that A decides rightly and B wrongly."""
    only_b: int
    """Pairs that B decides rightly and A wrongly."""
    p: float
    """The chance of a split at least this uneven if both were equally accurate, two-sided; 1 without such pairs."""


@dataclass(frozen=True)
class Slice:
    """A part of the test pairs."""

    by: str
    """What it was cut by."""
    name: str
    """Which part."""
    n: int
    """Its pairs."""
    matches: int
    """Of them, how many are matches."""
    gaps: dict[Metric, Gap]
    """F1 only where the part holds both classes, and accuracy."""
    p: float
    """McNemar's, corrected for the number of slices by Holm's method."""
    few: bool
    """Whether it is too small to conclude from."""


@dataclass(frozen=True)
class PairedReport:
    """All that is found; `flipkd.evaluation.verdict` puts it in words."""

    a: str
    b: str
    n: int
    matches: int
    independent: float
    """How many groups of pairs of equal size would carry as much: pairs that share a text speak together."""
    gaps: dict[Metric, Gap]
    """AP and AUC only where both systems give values."""
    mcnemar: McNemar
    differing: int
    """Pairs that the two decide otherwise."""
    slices: tuple[Slice, ...]
    warnings: tuple[str, ...]
    draws: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """The report by name, ready for JSON."""
        slices = [
            {
                **{name: getattr(part, name) for name in ("by", "name", "n", "matches", "few")},
                "metrics": {metric: gap.as_dict() for metric, gap in part.gaps.items()},
                "mcnemar_p_holm": part.p,
            }
            for part in self.slices
        ]
        mcnemar = {"only_a": self.mcnemar.only_a, "only_b": self.mcnemar.only_b, "p": self.mcnemar.p}
        shown = ("a", "b", "n", "matches", "independent", "differing", "draws", "seed")
        return {
            **{name: getattr(self, name) for name in shown},
            "metrics": {metric: gap.as_dict() for metric, gap in self.gaps.items()},
            "mcnemar": mcnemar,
            "slices": slices,
            "warnings": list(self.warnings),
        }


def mcnemar(right_a: Bools, right_b: Bools) -> McNemar:
    """McNemar's exact test, two-sided.

    Args:
        right_a: (n,) bool, whether A decides the pair rightly.
        right_b: (n,) bool, whether B does.
    """
    from scipy.stats import binomtest

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    return McNemar(only_a, only_b, float(p))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction: where nothing is to be found, one of the family falls below 0.05 in one case of twenty.

    Args:
        p: One for each test of the family.

    Returns:
        The corrected ones, in the same order, none above 1.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)) if len(p) else np.zeros(0)
    found = np.empty(len(p))
    found[order] = np.minimum(stepped, 1)
    return [float(each) for each in found]


def measure_gaps(
    label: ArrayLike, group: ArrayLike, a: System, b: System, metrics: Sequence[Metric], *, draws: int, seed: int
) -> dict[Metric, Gap]:
    """The metrics of both systems with the bootstrap interval of B - A; groups of pairs are drawn whole.

    Args:
        label: (n,) 0 or 1, both present but for accuracy alone.
        group: (n,) which pairs share a text, see `flipkd.data.splits.text_groups`.
        a: The first system.
        b: The second.
        metrics: Which.
        draws: Replicates of the bootstrap.
        seed: Of the draws.

    Raises:
        FlipkdError: If both classes are needed and one is missing, or a value is not finite.
    """
    labels = np.asarray(label)
    block = max(1, BLOCK // len(labels))
    found: dict[Metric, list[tuple[Estimate, Estimate]]] = {metric: [] for metric in metrics}
    for number, start in enumerate(range(0, draws, block)):
        size = min(block, draws - start)
        counts = draw_rows(labels, group, size, (seed, number), both=tuple(metrics) != ("accuracy",))
        for metric in metrics:
            one, other = (
                estimate(metric, labels, system.match if metric in ("f1", "accuracy") else system.value, counts)  # type: ignore[arg-type]
                for system in (a, b)
            )
            found[metric].append((one, other))
    trusted = independent_groups(group) >= FEWEST_INDEPENDENT
    return {metric: _gap(estimates, trusted) for metric, estimates in found.items()}


def _gap(blocks: Sequence[tuple[Estimate, Estimate]], trusted: bool) -> Gap:
    a, b = (
        Estimate(side[0].whole, np.concatenate([each.drawn for each in side])) for side in zip(*blocks, strict=True)
    )
    interval = paired_interval({0: b}, {0: a})
    assert interval is not None  # both sides have the one seed
    return Gap(a.whole, b.whole, interval, trusted)


def compare_systems(
    label: ArrayLike,
    group: ArrayLike,
    a: System,
    b: System,
    parts: Mapping[str, Mapping[str, Bools]],
    *,
    draws: int = REPLICATES,
    seed: int = 0,
) -> PairedReport:
    """Compare two systems on the same test pairs, over all and in parts.

    Args:
        label: (n,) 0 or 1, both present.
        group: (n,) which pairs share a text.
        a: The first system.
        b: The second; differences are B - A.
        parts: What the pairs were cut by, and the (n,) bool of each part.
        draws: Replicates of the bootstrap.
        seed: Of the draws.

    Raises:
        FlipkdError: As `measure_gaps`.
    """
    labels, groups = both_classes(label, len(a.match)), np.asarray(group)
    valued = a.value is not None and b.value is not None
    metrics: tuple[Metric, ...] = ("f1", "accuracy", "ap", "auc") if valued else ("f1", "accuracy")
    right_a, right_b = a.match == (labels == 1), b.match == (labels == 1)
    cut = [(by, name, mask) for by, masks in parts.items() for name, mask in masks.items()]
    corrected = holm([mcnemar(right_a[mask], right_b[mask]).p for _, _, mask in cut])
    slices = []
    for (by, name, mask), p in zip(cut, corrected, strict=True):
        n, matches = int(mask.sum()), int(labels[mask].sum())
        one, other = (System(each.name, each.match[mask], None, each.origin) for each in (a, b))
        measured: tuple[Metric, ...] = ("f1", "accuracy") if 0 < matches < n else ("accuracy",)
        gaps = measure_gaps(labels[mask], groups[mask], one, other, measured, draws=draws, seed=seed)
        few = n < FEW_PAIRS or 0 < min(matches, n - matches) < FEW_OF_A_CLASS
        few |= independent_groups(groups[mask]) < FEWEST_INDEPENDENT
        slices.append(Slice(by, name, n, matches, gaps, p, few))
    independent = independent_groups(groups)
    return PairedReport(
        a=a.name,
        b=b.name,
        n=len(labels),
        matches=int(labels.sum()),
        independent=independent,
        gaps=measure_gaps(labels, groups, a, b, metrics, draws=draws, seed=seed),
        mcnemar=mcnemar(right_a, right_b),
        differing=int((a.match != b.match).sum()),
        slices=tuple(slices),
        warnings=(*a.warnings, *b.warnings, *_warnings(labels, independent, valued)),
        draws=draws,
        seed=seed,
    )


def _warnings(label: NDArray[np.int64], independent: float, valued: bool) -> list[str]:
    n, fewer = len(label), int(min(label.sum(), len(label) - label.sum()))
    found = []
    if n < FEW_PAIRS or fewer < FEW_OF_A_CLASS:
        found.append(f"{n} pairs, {fewer} of the rarer class, are few: only a large difference can show.")
    if independent < INDEPENDENT * n:
        found.append(
            f"Pairs that share a text are drawn together: the {n} pairs count as about {independent:.0f} independent "
            "ones. McNemar's test takes all for independent, so its p may be too low; trust the intervals."
        )
    if not valued:
        found.append("AP and AUC are left out: not both sides give a probability or another value for each pair.")
    return found
