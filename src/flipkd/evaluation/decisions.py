"""How probabilities become decisions, and what frozen thresholds achieve (docs/method.md section 6)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.evaluation.checks import as_written, both_classes, finite

CONFIDENCE = 0.95
"""Of the lower bounds, which are one-sided."""
ACCEPT, REVIEW, REJECT = "accept", "review", "reject"


@dataclass(frozen=True)
class Part:
    """The pairs that are decided one way."""

    share: float
    """Of all pairs, at the match rate that is reckoned with."""
    precision: float | None
    """Share that is decided rightly; None where no pair is decided so."""
    precision_at_least: float | None
    """Its lower bound, one-sided, 95 %, exact (Clopper and Pearson). It knows nothing of a threshold's being chosen."""
    pairs: int
    """How many pairs that rests on."""


@dataclass(frozen=True)
class Shares:
    """How pairs were decided, and how well."""

    accepted: Part
    """The pairs that are called a match."""
    review: float
    """Share between the two bands; 0 without bands."""
    rejected: Part
    """The pairs that are called no match; their precision is the share of true non-matches."""
    recall: float
    """Share of the matches that are called one."""
    match_rate: float
    """The share of matches that shares and precisions reckon with."""
    rows: int
    """The pairs behind all this."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)

    def words(self, *, bands: bool) -> str:
        """One line for people.

        Args:
            bands: Whether to speak of what is rejected and reviewed, too.
        """
        line = f"{self.rows} pairs: {self.accepted.share:.1%} called a match, {_precision(self.accepted)}"
        line += f", recall {self.recall:.3f}"
        if bands:
            line += f"; {self.review:.1%} to review; {self.rejected.share:.1%} rejected, {_precision(self.rejected)}"
        return line


def _precision(part: Part) -> str:
    if part.precision is None:
        return "precision unknown"
    return f"precision {part.precision:.3f} (at least {part.precision_at_least:.3f} with {CONFIDENCE:.0%} confidence)"


@dataclass(frozen=True)
class Decision:
    """How probabilities become decisions: fitted on validation, frozen, stored."""

    policy: str
    """The policy in words, see `flipkd.evaluation.policies.Policy`."""
    threshold: float
    """A match is a probability >= this."""
    reject: float
    """With bands, a pair whose probability is below this is rejected, and one from it to the threshold is for review;
    else the threshold."""
    validation: Shares
    """What that achieves on the cross-fitted probabilities of validation, on which it was chosen."""
    reason: str
    """How it came about, in words."""

    @property
    def bands(self) -> bool:
        """Whether pairs are accepted, reviewed or rejected, rather than called a match or none."""
        return self.policy.startswith("bands")

    def name(self, probability: ArrayLike, threshold: float) -> NDArray[np.str_]:
        """The decisions ``accept``, ``review`` and ``reject``, (n,) str.

        Args:
            probability: (n,) in [0, 1].
            threshold: From which pairs are accepted.
        """
        given = np.asarray(probability)
        return np.select([given >= threshold, given >= self.reject], [ACCEPT, REVIEW], REJECT)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON: every number is finite."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Decision":
        """The decision that `as_dict` wrote, also after a way through JSON.

        Raises:
            FlipkdError: If it is not what was written.
        """
        with as_written("decision"):
            shares = fields["validation"]
            parts = {side: Part(**shares[side]) for side in ("accepted", "rejected")}
            return cls(**{**fields, "validation": Shares(**{**shares, **parts})})


def shares(
    probability: ArrayLike,
    label: ArrayLike,
    threshold: float,
    reject: float | None = None,
    *,
    prior: float | None = None,
) -> Shares:
    """How pairs are decided by frozen thresholds, and how well.

    Args:
        probability: (n,) in [0, 1].
        label: (n,) 0 or 1, both present.
        threshold: A match is a probability >= this.
        reject: With bands, below which pairs are rejected; by default the threshold.
        prior: The match rate to reckon with; by default that of the labels.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    values = finite(probability, "probabilities")
    match = both_classes(label, len(values)) == 1
    rate = float(match.mean())
    weights = class_weights(rate, prior)
    accepted, rejected = values >= threshold, values < (threshold if reject is None else reject)
    parts = [
        _part(int((side & right).sum()), int((side & ~right).sum()), each, len(values))
        for side, right, each in ((accepted, match, weights), (rejected, ~match, weights[::-1]))
    ]
    between = ~accepted & ~rejected
    return Shares(
        accepted=parts[0],
        review=float(np.where(match, *weights)[between].sum() / len(values)),
        rejected=parts[1],
        recall=float(accepted[match].mean()),
        match_rate=rate if prior is None else prior,
        rows=len(values),
    )


def class_weights(rate: float, prior: float | None) -> tuple[float, float]:
    """How many pairs a match and a non-match stand for.

    Args:
        rate: The share of matches among the pairs.
        prior: The share they are to have; None leaves them as they are.
    """
    return (1.0, 1.0) if prior is None else (prior / rate, (1 - prior) / (1 - rate))


def _part(right: int, wrong: int, weights: tuple[float, float], total: int) -> Part:
    from scipy.stats import binomtest

    share = (right * weights[0] + wrong * weights[1]) / total
    if right + wrong == 0:
        return Part(share, None, None, 0)
    interval = binomtest(right, right + wrong, alternative="greater").proportion_ci(CONFIDENCE, method="exact")

    def weighted(precision: float) -> float:
        return precision * weights[0] / (precision * weights[0] + (1 - precision) * weights[1])

    return Part(share, weighted(right / (right + wrong)), weighted(float(interval.low)), right + wrong)
