"""The cascade: where the encoder alone answers, and where the decoder is asked (docs/method.md section 6).

Our reading, all of it. A pair whose similarity is far from the point where the encoder turns from no match to
match is decided by the encoder's own calibrated probability; the decoder is asked in the band around it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.evaluation.answer import FEWEST, SIGNALS, Answer
from flipkd.evaluation.calibrators import fit_logistic, prior_shift
from flipkd.evaluation.checks import as_written, both_classes, finite, require_numbers

Array = NDArray[np.float64]

ALLOWED = 0.005
"""The share of validation decisions that an artefact's band may change."""
FEWEST_PAIRS = 50
"""With fewer validation pairs there is no band: its ends would rest on a handful of them."""
BEYOND = 2.0
"""Past every cosine: a band that reaches from -2 to 2 asks the decoder always."""


@dataclass(frozen=True)
class Band:
    """The similarities at which the decoder is asked, and what answers outside of them."""

    low: float
    """A similarity below it is no match, by the encoder alone."""
    high: float
    """A similarity of at least this is a match, by the encoder alone."""
    encoder: Answer
    """Calibrates the similarity of the pairs that skip the decoder; its threshold is the full answer's."""
    skipped: float
    """Share of the validation pairs that skip the decoder."""
    changed: float
    """Share of the validation pairs that are decided otherwise than by the full answer."""
    changed_held_out: float
    """The same with the band fitted on one half of the pairs and measured on the other, mean of both ways."""
    rows: int
    """Validation pairs behind it."""
    reason: str
    """How it came about, in words."""

    def asks(self, similarity: ArrayLike) -> NDArray[np.bool_]:
        """Whether the decoder is asked, (n,) bool.

        Args:
            similarity: (n,) cosines of the encoder.
        """
        given = np.asarray(similarity)
        return np.asarray((given >= self.low) & (given < self.high))

    def probability(self, answer: Answer, signals: Mapping[str, ArrayLike]) -> Array:
        """The cascade's probability of a match, where all signals are known anyway.

        Args:
            answer: The full answer.
            signals: (n,) numbers by source.

        Returns:
            (n,) float64: the full answer's inside the band, the encoder's outside of it.
        """
        inside = self.asks(signals["encoder"])
        return np.where(inside, answer.probability(signals), self.encoder.probability(signals))

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON: every number is finite."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Band":
        """The band that `as_dict` wrote, also after a way through JSON.

        Raises:
            FlipkdError: If it is not what was written.
        """
        with as_written("cascade"):
            band = cls(**{**fields, "encoder": Answer.from_dict(fields["encoder"])})
            require_numbers(low=band.low, high=band.high)
        return band


def turning_point(encoder: Answer) -> float:
    """The similarity at which the encoder's calibrated probability reaches the threshold, in [-2, 2].

    Args:
        encoder: An answer of the encoder alone, its weight above 0. A threshold that no probability reaches
            gives 2, one that every probability reaches -2.
    """
    if not 0 < encoder.threshold < 1:
        return BEYOND if encoder.threshold >= 1 else -BEYOND
    logit = np.log(encoder.threshold) - np.log1p(-encoder.threshold)
    return float(np.clip((logit - encoder.bias) / encoder.weights[0], -BEYOND, BEYOND))


def widest(similarity: ArrayLike, changes: ArrayLike, turn: float, allowed: int) -> tuple[float, float]:
    """The (low, high) that lets the most pairs skip the decoder while at most `allowed` decisions change.

    Skipped are the lowest similarities below `turn` and the highest from `turn` on. Equal similarities go
    together, and an end of the band lies midway between two neighbours, so that a little noise moves no pair
    over it. Of equally wide ones the one that changes least is taken. O(n log n).

    Args:
        similarity: (n,) float64.
        changes: (n,) bool, whether a pair's decision changes when it skips the decoder.
        turn: See `turning_point`; low <= turn <= high.
        allowed: Decisions that may change.
    """
    distinct, where = np.unique(np.asarray(similarity, dtype=np.float64), return_inverse=True)
    pairs = np.bincount(where)
    wrong = np.bincount(where, weights=np.asarray(changes, dtype=np.float64)).astype(np.int64)
    split = int(np.searchsorted(distinct, turn))

    def reach(of: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What the k outermost values of the lower and of the upper side sum to, k = 0, 1, ..."""
        sides = of[:split], of[split:][::-1]
        below, above = (np.concatenate([[0], np.cumsum(side)]) for side in sides)
        return below, above

    (skipped_below, skipped_above), (wrong_below, wrong_above) = reach(pairs), reach(wrong)
    # Every way to share the allowed changes between the two sides; each side then goes as far in as it may.
    share = np.arange(min(allowed, int(wrong.sum())) + 1)
    below = np.searchsorted(wrong_below, share, side="right") - 1
    above = np.searchsorted(wrong_above, share[-1] - share, side="right") - 1
    skipped = skipped_below[below] + skipped_above[above]
    changed = wrong_below[below] + wrong_above[above]
    best = np.lexsort((changed, -skipped))[0]

    middle = distinct[:-1] / 2 + distinct[1:] / 2
    # Between two adjacent floats there is no middle: the upper one divides them as well.
    inner = np.where(middle > distinct[:-1], middle, distinct[1:])
    edges = np.concatenate([[-BEYOND], inner, [BEYOND]])
    return float(min(edges[below[best]], turn)), float(max(edges[len(distinct) - above[best]], turn))


def fit_band(
    answer: Answer,
    signals: Mapping[str, ArrayLike],
    label: ArrayLike,
    *,
    seed: int,
    reject: float | None = None,
    allowed: float = ALLOWED,
) -> tuple[Band | None, str]:
    """Fit the band on validation.

    The encoder's similarity is calibrated by a logistic model of its own, with the full answer's threshold;
    then the band is the narrowest that changes at most the allowed share of the full answer's decisions.

    Args:
        answer: The full answer, with the decoder in it.
        signals: (n,) numbers by source, of validation; the encoder's are always needed.
        label: (n,) 0 or 1.
        seed: Of the halves on which the band is checked.
        reject: Where pairs are accepted, reviewed or rejected: the probability below which they are rejected. A pair
            that moves between any two of the three is a changed decision.
        allowed: Share of decisions that may change.

    Returns:
        The band, or None where there can't be one, and the reason.

    Raises:
        FlipkdError: If a source is missing, a number is not finite, or the labels are of one class.
    """
    if "decoder" not in answer.sources:
        return None, "the answer never asks the decoder"
    similarity = finite(signals["encoder"], SIGNALS["encoder"])
    n = len(similarity)
    labels = both_classes(label, n)
    matches = int(labels.sum())
    if n < FEWEST_PAIRS or min(matches, n - matches) < FEWEST:
        return None, (
            f"{n} validation pairs, {matches} of them matches, are too few to fit it (at least {FEWEST_PAIRS}, "
            f"and {FEWEST} of each class)"
        )
    cuts = cuts_of(answer, reject)
    full = decided(answer.probability(signals), cuts)
    # The answer may reckon with another match rate than these pairs have; then the encoder has to, too.
    rate = answer.match_rate
    move = 0.0 if rate is None else prior_shift(matches / n, rate)
    encoder = _calibrate(answer, similarity, labels, move)
    if encoder.weights[0] <= 0:
        return None, f"on {n} validation pairs the encoder's similarity does not grow with the match"

    changes = _changes(encoder, similarity, full, cuts)
    may = _decisions(allowed, n)
    low, high = widest(similarity, changes, turning_point(encoder), may)
    outside = (similarity < low) | (similarity >= high)
    skipped, changed = int(outside.sum()), int((outside & changes).sum())
    limit = f"at most {may} of {n} validation decisions ({allowed:.1%}) may change"
    if not skipped:
        return None, f"no pair can skip the decoder where {limit}"
    held_out = _held_out(answer, similarity, labels, full, cuts, allowed, seed, move)
    reason = (
        f"similarities below {low:.4f} and from {high:.4f} on skip the decoder, {skipped / n:.1%} of {n} validation "
        f"pairs; {limit}, {changed} did; fitted on one half and measured on the other {held_out:.2%} change"
    )
    if may <= 1:
        reason += "; so few pairs can't tell such a share finely, and new pairs may change more"
    return Band(low, high, encoder, skipped / n, changed / n, held_out, n, reason), reason


def _decisions(share: float, n: int) -> int:
    """The share as a whole number of n decisions, rounded down, but 0.005 x 200 is 1."""
    return int(share * n + 1e-9)


def _calibrate(answer: Answer, similarity: Array, label: NDArray[np.int64], move: float) -> Answer:
    weights, bias = fit_logistic(similarity[:, None], label)
    why = "for the pairs that skip the decoder"
    return Answer(("encoder",), (float(weights[0]),), bias + move, answer.threshold, why, match_rate=answer.match_rate)


def cuts_of(answer: Answer, reject: float | None) -> Array:
    """Where one decision turns into the next, rising; arguments as for `fit_band`."""
    return np.array([answer.threshold] if reject is None else [reject, answer.threshold])


def decided(probability: Array, cuts: Array) -> NDArray[np.int64]:
    """(n,) decisions: how many of the cuts each probability reaches."""
    return np.searchsorted(cuts, probability, side="right").astype(np.int64)


def _changes(encoder: Answer, similarity: Array, full: NDArray[np.int64], cuts: Array) -> NDArray[np.bool_]:
    """Whether the encoder alone decides otherwise than the full answer."""
    return np.asarray(decided(encoder.probability({"encoder": similarity}), cuts) != full)


def _held_out(
    answer: Answer,
    similarity: Array,
    label: NDArray[np.int64],
    full: NDArray[np.int64],
    cuts: Array,
    allowed: float,
    seed: int,
    move: float,
) -> float:
    """Share of decisions that a band fitted on one half changes on the other; the halves have like classes."""
    mixed = np.random.default_rng(seed).permutation(len(label))
    mixed = mixed[np.argsort(label[mixed], kind="stable")]
    shares = []
    for fitted, held in ((mixed[::2], mixed[1::2]), (mixed[1::2], mixed[::2])):
        encoder = _calibrate(answer, similarity[fitted], label[fitted], move)
        if encoder.weights[0] <= 0:
            # On this half there would be no band, and so no change.
            shares.append(0.0)
            continue
        changes = _changes(encoder, similarity[fitted], full[fitted], cuts)
        low, high = widest(similarity[fitted], changes, turning_point(encoder), _decisions(allowed, len(fitted)))
        outside = (similarity[held] < low) | (similarity[held] >= high)
        shares.append(float((outside & _changes(encoder, similarity[held], full[held], cuts)).mean()))
    return float(np.mean(shares))
