"""The dual threshold: below and above which the teacher is trusted (docs/method.md section 4).

The paper states a floor for positives and a ceiling for negatives; how they are fitted is our reading.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from flipkd.console import warn
from flipkd.errors import FlipkdError

GAP = 0.01
"""Thresholds that would cross move this far to either side of their midpoint."""
BINS = 10


@dataclass(frozen=True)
class DualThresholds:
    """When the teacher is trusted.

    Attributes:
        tau_p: The floor of trusted positives, a similarity.
        tau_n: The ceiling of trusted negatives; always below `tau_p`.
        reason: Where they come from.
    """

    tau_p: float
    tau_n: float
    reason: str

    def __post_init__(self) -> None:
        if not self.tau_n < self.tau_p:
            raise FlipkdError(f"tau_n ({self.tau_n}) must be below tau_p ({self.tau_p}).")

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def _lowest_floor(similarity: np.ndarray, positive: np.ndarray, precision: float) -> tuple[float, float]:
    """The lowest value t with a precision of at least `precision` among T >= t, and that precision.

    Where no value reaches it, the value with the best precision there is, the lowest of equals.
    """
    order = np.argsort(-similarity, kind="stable")
    values = similarity[order]
    reached = np.cumsum(positive[order]) / np.arange(1, len(values) + 1)
    # Equal similarities stand or fall together: only the last row of a tie is a place to cut.
    cuts = np.append(values[1:] < values[:-1], True)
    good = np.flatnonzero(cuts & (reached >= precision))
    if len(good):
        return float(values[good[-1]]), float(reached[good[-1]])
    best = reached[cuts].max()
    place = np.flatnonzero(cuts & (reached == best))[-1]
    return float(values[place]), float(best)


def fit_thresholds(similarity: np.ndarray, label: np.ndarray, *, precision: float = 0.9) -> DualThresholds:
    """Fit both thresholds on validation.

    tau_p is the lowest threshold above which the teacher's precision for matches is `precision`, tau_n the
    highest below which its precision for non-matches is. Where it never is, the best it reaches counts, with
    a warning; where the two would cross, both move to their midpoint -/+ 0.01.

    Args:
        similarity: (n,) T of the validation pairs.
        label: (n,) 0 or 1.
        precision: What is asked of both.

    Raises:
        FlipkdError: If there are no pairs, or a similarity is not finite.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    if len(similarity) == 0 or not np.isfinite(similarity).all():
        raise FlipkdError("The teacher's similarities on validation are missing or not finite; thresholds need them.")
    match = np.asarray(label) == 1
    tau_p, for_matches = _lowest_floor(similarity, match, precision)
    negated, for_others = _lowest_floor(-similarity, ~match, precision)
    tau_n = -negated
    for name, reached in (("matches", for_matches), ("non-matches", for_others)):
        if reached < precision:
            warn(
                f"The teacher's precision for {name} reaches {reached:.2f} on validation, not {precision:.2f}: "
                "its threshold is where it is best, and filters little that is wrong."
            )
    reason = f"precision {for_matches:.2f} for matches, {for_others:.2f} for non-matches on {len(similarity)} validation pairs"
    if not tau_n < tau_p:
        middle = (tau_p + tau_n) / 2
        tau_p, tau_n = middle + GAP, middle - GAP
        reason += "; the two would cross, so they stand about their midpoint"
    return DualThresholds(tau_p, tau_n, reason)


@dataclass(frozen=True)
class ThresholdReport:
    """What the thresholds keep and drop, by label (docs/method.md section 4's table, labelled rows).

    Attributes:
        n: Pairs.
        kept: Those that stay in MCL's sets.
        kept_matches: Matches with T >= tau_n.
        dropped_matches: Matches the teacher contradicts.
        kept_others: Non-matches with T <= tau_p.
        dropped_others: Non-matches the teacher contradicts.
        sure: Pairs with T >= tau_p or T <= tau_n.
        agreement: The share of these whose label agrees; 1 if there are none.
        edges: The histogram's bin edges.
        matches: Matches in each bin.
        others: Non-matches in each bin.
    """

    n: int
    kept: int
    kept_matches: int
    dropped_matches: int
    kept_others: int
    dropped_others: int
    sure: int
    agreement: float
    edges: list[float]
    matches: list[int]
    others: list[int]

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    def render(self) -> Table:
        """The histogram as a table, what is kept and dropped below it."""
        sure = f"where it is sure ({self.sure}) the label agrees in {self.agreement:.0%}"
        table = Table(
            "teacher's similarity", "matches", "non-matches", "", title="Teacher on validation", title_justify="left",
            caption=f"kept {self.kept} of {self.n}: the teacher contradicts {self.dropped_matches} matches and "
            f"{self.dropped_others} non-matches; {sure}",
            caption_justify="left",
        )  # fmt: skip
        longest = max(1, *(a + b for a, b in zip(self.matches, self.others, strict=True)))
        for low, high, yes, no in zip(self.edges, self.edges[1:], self.matches, self.others, strict=False):
            bar = "█" * round(24 * yes / longest) + "░" * round(24 * no / longest)
            table.add_row(f"{low:+.2f} to {high:+.2f}", str(yes), str(no), bar)
        return table


def threshold_report(similarity: np.ndarray, label: np.ndarray, thresholds: DualThresholds) -> ThresholdReport:
    """Count what the thresholds do on labelled pairs.

    Args:
        similarity: (n,) T, at least one.
        label: (n,) 0 or 1.
        thresholds: The thresholds.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    match = np.asarray(label) == 1
    kept = np.where(match, similarity >= thresholds.tau_n, similarity <= thresholds.tau_p)
    high, low = similarity >= thresholds.tau_p, similarity <= thresholds.tau_n
    sure = int((high | low).sum())
    right = int((high & match).sum() + (low & ~match).sum())
    edges = np.histogram_bin_edges(similarity, bins=BINS)
    return ThresholdReport(
        n=len(similarity),
        kept=int(kept.sum()),
        kept_matches=int((kept & match).sum()),
        dropped_matches=int((~kept & match).sum()),
        kept_others=int((kept & ~match).sum()),
        dropped_others=int((~kept & ~match).sum()),
        sure=sure,
        agreement=right / sure if sure else 1.0,
        edges=edges.tolist(),
        matches=np.histogram(similarity[match], edges)[0].tolist(),
        others=np.histogram(similarity[~match], edges)[0].tolist(),
    )
