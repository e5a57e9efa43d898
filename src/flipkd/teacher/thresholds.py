"""The dual threshold: where the teacher is trusted (docs/method.md section 4).

The paper states that there is a floor for positives, tau_p, and a ceiling for negatives, tau_n. How they are
fitted, and how they meet the labels, is our reading.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Group
from rich.table import Table

from flipkd.console import warn
from flipkd.errors import FlipkdError

GAP = 0.01
"""Half the distance the thresholds get where they would cross."""
RANDOM_PAIRS = 100_000
BINS = 10
MUCH = 0.25
"""Share of a class that the teacher's veto may leave out without a word."""
BAR = 30
"""Characters of the longest bar of the histogram."""


@dataclass(frozen=True)
class DualThresholds:
    """Where the teacher's similarities are trusted; tau_n < tau_p always, tau_n < 1 and tau_p > -1."""

    tau_p: float
    """Floor of trusted positives, a similarity."""
    tau_n: float
    """Ceiling of trusted negatives, a similarity."""
    reason: str
    """How they were found."""

    def __post_init__(self) -> None:
        if not self.tau_n < self.tau_p:
            raise FlipkdError(f"tau_n ({self.tau_n}) must be below tau_p ({self.tau_p}).")
        if not (self.tau_n < 1 and self.tau_p > -1):
            raise FlipkdError(
                f"tau_n is {self.tau_n} and tau_p {self.tau_p}, but similarities lie in [-1, 1] (a cosine, or 2p - 1 "
                "of a probability p): tau_n must be below 1 and tau_p above -1. Convert thresholds of another scale."
            )

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def fit_thresholds(
    similarity: ArrayLike, label: ArrayLike, *, precision: float = 0.9, veto: bool = True
) -> DualThresholds:
    """Fit both thresholds on validation pairs (docs/method.md section 4, our reading).

    tau_p is the lowest t such that among the pairs with T >= t the share of matches is at least `precision`;
    tau_n the highest t such that among the pairs with T <= t the share of non-matches is. A share that is
    never reached is replaced by the best there is, with a warning; thresholds that would cross, or meet,
    become their midpoint -/+ 0.01. Where they leave out much of a class, a warning names a precision that would not.

    Args:
        similarity: (n,) T of the pairs, in [-1, 1].
        label: (n,) 0 or 1.
        precision: The share asked for, above 0 and up to 1.
        veto: Whether the sets are made by label, so that what the thresholds leave out of a class matters.

    Returns:
        Thresholds with tau_n < tau_p, tau_n < 1 and tau_p > -1.

    Raises:
        FlipkdError: If there are no pairs, a similarity is not in [-1, 1], or a label not 0 or 1.
    """
    t, y = _checked(similarity, label)
    if not 0 < precision <= 1:
        raise FlipkdError(f"The precision asked of the thresholds must lie above 0 and up to 1; it is {precision}.")
    if t.min() == t.max():
        warn(f"The teacher gives every validation pair the similarity {t[0]:.4f}: it tells nothing apart.")
    found, shares = _fit(t, y, precision)
    for what, share in zip(("matches", "non-matches"), shares, strict=True):
        if share < precision:
            warn(
                f"The teacher's precision for {what} reaches {share:.2f} on validation, not {precision:.2f}: "
                "its threshold is put where it is best."
            )
    if veto:
        _warn_of_veto(t, y, found)
    return found


def require_similarities(similarity: NDArray[np.floating[Any]]) -> None:
    """Refuse numbers that are no similarities of a teacher.

    Args:
        similarity: (n,) T.

    Raises:
        FlipkdError: If one is not finite or not in [-1, 1]; names its row.
    """
    bad = np.flatnonzero(~((similarity >= -1) & (similarity <= 1)))
    if len(bad):
        raise FlipkdError(
            "Similarities must be finite and in [-1, 1] (a cosine, or 2p - 1 of a probability p); "
            f"{len(bad)} of {len(similarity)} are not, first {similarity[bad[0]]} at row {bad[0]}. Convert logits or "
            "other scales first."
        )


def _checked(similarity: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    t = np.asarray(similarity, dtype=np.float64)
    y = np.asarray(label)
    if t.ndim != 1 or t.shape != y.shape or not len(t):
        raise FlipkdError(
            f"Thresholds need one similarity and one label per pair; they are of shape {t.shape} and {y.shape}."
        )
    require_similarities(t)
    if not np.isin(y, (0, 1)).all():
        raise FlipkdError("Labels must be 0 or 1 for every pair.")
    return t, y.astype(np.int64)


def _fit(t: NDArray[np.float64], y: NDArray[np.int64], precision: float) -> tuple[DualThresholds, tuple[float, float]]:
    """The thresholds, and the precision that each reaches."""
    tau_p, share_p, rows_p = _floor(t, y, precision)
    minus, share_n, rows_n = _floor(-t, 1 - y, precision)
    tau_n = -minus
    reason = (
        f"precision {share_p:.2f} for matches over {rows_p} of {len(t)} validation pairs, "
        f"{share_n:.2f} for non-matches over {rows_n}"
    )
    if tau_n >= tau_p:
        middle = (tau_p + tau_n) / 2
        reason += f"; {tau_p:.3f} and {tau_n:.3f} cross, so the midpoint -/+ {GAP}"
        tau_p, tau_n = middle + GAP, middle - GAP
    return DualThresholds(tau_p, tau_n, reason), (share_p, share_n)


def _warn_of_veto(t: NDArray[np.float64], y: NDArray[np.int64], thresholds: DualThresholds) -> None:
    """Say where the veto leaves out much of a class, and which precision would not.

    Where matches are rare, nearly all pairs are non-matches at any similarity: a precision below their share asks
    nothing of the teacher, and the midpoint of thresholds that cross then lies anywhere.
    """
    matches = int(y.sum())

    def much(thresholds: DualThresholds) -> list[str]:
        found = threshold_report(t, y, thresholds)
        dropped = (
            (found.dropped_matches, matches, "matches"),
            (found.dropped_non_matches, len(y) - matches, "non-matches"),
        )
        return [f"{lost} of {of} {what}" for lost, of, what in dropped if lost > MUCH * of]

    left_out = much(thresholds)
    if not left_out:
        return
    rarer = min(matches, len(y) - matches) / len(y)
    higher = [1 - rarer * share for share in (0.5, 0.25, 0.1, 0.05)]
    better = next((precision for precision in higher if not much(_fit(t, y, precision)[0])), None)
    if better is None:
        mend = "Set --tau-p and --tau-n by the similarities of validation."
    else:
        mend = f"With --threshold-precision {better:.4g} no more than {MUCH:.0%} of either class would be left out."
    warn(
        f"The dual thresholds leave out {' and '.join(left_out)} of validation, as pairs whose label the teacher "
        f"contradicts. {mend}"
    )


def _floor(t: NDArray[np.float64], y: NDArray[np.int64], precision: float) -> tuple[float, float, int]:
    """The lowest t with enough precision at and above it, else the lowest with the best.

    Without any y = 1 every precision is 0, and the highest t is taken: nothing is to be trusted.

    Returns:
        The threshold, the precision there, and the rows at or above it.
    """
    distinct, where = np.unique(-t, return_inverse=True)
    rows = np.cumsum(np.bincount(where))
    hits = np.cumsum(np.bincount(where, weights=y))
    share = hits / rows
    asked = min(precision, share.max())
    # A product, since hits / rows can fall just short of a precision that is met exactly.
    cut = int(np.flatnonzero(hits >= asked * rows - 1e-9)[-1]) if hits[-1] else 0
    return float(-distinct[cut]), float(share[cut]), int(rows[cut])


@dataclass(frozen=True)
class ThresholdReport:
    """What the thresholds keep and drop of labelled pairs, and how the teacher agrees with the labels."""

    tau_p: float
    tau_n: float
    n: int
    kept: int
    """Pairs in P or N by label with the teacher's veto (the first two rows of section 4's table)."""
    kept_matches: int
    dropped_matches: int
    """Matches with T < tau_n: the teacher contradicts the label."""
    kept_non_matches: int
    dropped_non_matches: int
    """Non-matches with T > tau_p."""
    trusted_positives: int
    """Pairs with T >= tau_p, whatever their label."""
    trusted_negatives: int
    """Pairs with T <= tau_n."""
    agreement: float | None
    """Share of those trusted pairs whose label says the same; None if none is trusted."""
    edges: tuple[float, ...]
    """The 11 edges of the histogram's bins, from the smallest similarity to the largest."""
    matches: tuple[int, ...]
    """Matches in each bin."""
    non_matches: tuple[int, ...]
    """Non-matches in each bin."""

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    def render(self) -> Group:
        """Two tables for the terminal: what is kept, and the histogram by label."""
        counts = Table("dual thresholds", "kept", "dropped")
        counts.add_row("matches (T >= tau_n)", str(self.kept_matches), str(self.dropped_matches))
        counts.add_row("non-matches (T <= tau_p)", str(self.kept_non_matches), str(self.dropped_non_matches))
        agreement = "none" if self.agreement is None else f"{self.agreement:.1%}"
        alone = (
            f"by the teacher alone: {self.trusted_positives} positives (T >= {self.tau_p:.3f}), "
            f"{self.trusted_negatives} negatives (T <= {self.tau_n:.3f}), agreement with the labels {agreement}"
        )
        histogram = Table("similarity", "non-matches", "matches")
        most = max(*self.matches, *self.non_matches, 1)
        for low, high, yes, no in zip(self.edges, self.edges[1:], self.matches, self.non_matches, strict=False):
            bars = [f"{count:6d} {'█' * round(BAR * count / most)}" for count in (no, yes)]
            histogram.add_row(f"{low:+.3f} to {high:+.3f}", *bars)
        return Group(counts, alone, histogram)


def random_ceiling(vectors: NDArray[np.float32], geometry: NDArray[np.int64], seed: int) -> float:
    """What 99.9 % of random pairs of the training texts do not exceed (docs/method.md section 4, third row).

    Args:
        vectors: (n, d) float32 unit rows of the teacher, at least 2 of one geometry.
        geometry: (n,) rows of different geometry are not compared.
        seed: Of the pairs that are drawn, at most 100,000.

    Returns:
        A cosine.
    """
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, len(vectors), (2, RANDOM_PAIRS))
    fair = (left != right) & (geometry[left] == geometry[right])
    cosine = np.einsum("nd,nd->n", vectors[left[fair]], vectors[right[fair]])
    return float(np.quantile(cosine, 0.999))


def threshold_report(similarity: ArrayLike, label: ArrayLike, thresholds: DualThresholds) -> ThresholdReport:
    """Count what thresholds keep and drop of labelled pairs.

    Args:
        similarity: (n,) T of the pairs, in [-1, 1].
        label: (n,) 0 or 1.
        thresholds: Fitted or set by the user.

    Raises:
        FlipkdError: As `fit_thresholds`.
    """
    t, y = _checked(similarity, label)
    match = y == 1
    kept_matches = int((match & (t >= thresholds.tau_n)).sum())
    kept_non_matches = int((~match & (t <= thresholds.tau_p)).sum())
    positive, negative = t >= thresholds.tau_p, t <= thresholds.tau_n
    trusted = int(positive.sum() + negative.sum())
    agree = int((positive & match).sum() + (negative & ~match).sum())
    edges = np.histogram_bin_edges(t, BINS)
    return ThresholdReport(
        tau_p=thresholds.tau_p,
        tau_n=thresholds.tau_n,
        n=len(t),
        kept=kept_matches + kept_non_matches,
        kept_matches=kept_matches,
        dropped_matches=int(match.sum()) - kept_matches,
        kept_non_matches=kept_non_matches,
        dropped_non_matches=int((~match).sum()) - kept_non_matches,
        trusted_positives=int(positive.sum()),
        trusted_negatives=int(negative.sum()),
        agreement=agree / trusted if trusted else None,
        edges=tuple(edges.tolist()),
        matches=tuple(np.histogram(t[match], edges)[0].tolist()),
        non_matches=tuple(np.histogram(t[~match], edges)[0].tolist()),
    )
