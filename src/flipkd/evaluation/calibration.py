"""How far probabilities are from what is seen: calibration error, Brier score, log loss (docs/method.md section 6)."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.evaluation.checks import both_classes, finite

Array = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """How well probabilities fit the labels of the same n pairs."""

    ece: float
    """Expected calibration error: the mean gap between predicted and seen share of matches over 10 bins of equally
    many pairs, weighed by their pairs."""
    ece_by_chance: float
    """What these very probabilities would show on so many pairs if they were perfect: noise is never 0."""
    brier: float
    """Mean squared difference of probability and label."""
    log_loss: float
    """Mean of -log of the probability given to what is true, in nats."""
    n: int
    """Number of pairs."""

    def as_dict(self) -> dict[str, float | int]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def mass_bins(probability: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each value when bins hold equally many values, as far as equal ones go together.

    Args:
        probability: (n,) numbers.
        bins: How many, at most.

    Returns:
        (n,) int64 from 0, rising with the value, none left out; the order of the rows changes nothing.
    """
    from scipy.stats import rankdata

    values = np.asarray(probability)
    place = np.floor((rankdata(values) - 0.5) / len(values) * min(bins, len(values)))
    return np.asarray(np.unique(place, return_inverse=True)[1], dtype=np.int64)


def reliability_points(probability: ArrayLike, label: ArrayLike, bins: int = BINS) -> tuple[Array, Array, Array]:
    """What was said against what was seen, by bins of `mass_bins`.

    Args:
        probability: (n,) in [0, 1].
        label: (n,) 0 or 1, both present.
        bins: How many, at most.

    Returns:
        Mean probability, share of matches, and number of pairs of each bin; float64.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    values = finite(probability, "probabilities")
    labels = both_classes(label, len(values))
    where = mass_bins(values, bins)
    pairs = np.bincount(where).astype(np.float64)
    return np.bincount(where, weights=values) / pairs, np.bincount(where, weights=labels) / pairs, pairs


def measure_calibration(logit: ArrayLike, label: ArrayLike) -> Calibration:
    """Measure calibrated log-odds against labels.

    Log-odds rather than probabilities, since a sure and wrong decoder's probability is 0 in floating point long before
    its log loss is infinite.

    Args:
        logit: (n,) log-odds of a match.
        label: (n,) 0 or 1, both present.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    from scipy.special import expit

    values = finite(logit, "log-odds")
    labels = both_classes(label, len(values))
    probability = expit(values)
    said, seen, pairs = reliability_points(probability, labels)
    spread = np.bincount(mass_bins(probability), weights=probability * (1 - probability)) / pairs
    # A bin's share of matches is about normal around the truth, and E |normal| = sd sqrt(2 / pi).
    chance = np.sqrt(2 / np.pi * spread / pairs)
    return Calibration(
        ece=float(np.abs(said - seen) @ pairs / len(values)),
        ece_by_chance=float(chance @ pairs / len(values)),
        brier=float(np.mean((probability - labels) ** 2)),
        log_loss=float(np.logaddexp(0, np.where(labels == 1, -values, values)).mean()),
        n=len(values),
    )


def log_odds_of(probability: ArrayLike) -> Array:
    """(n,) log-odds of probabilities; 0 and 1 count as the nearest numbers to them."""
    values = np.clip(np.asarray(probability, dtype=np.float64), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
    return np.asarray(np.log(values) - np.log1p(-values))


def in_words(before: Calibration | None, after: Calibration) -> str:
    """One line: what calibration changed.

    Args:
        before: Of the decoder's own probability; None where it was not asked.
        after: Of the answer's.
    """

    def change(name: str) -> str:
        old = "" if before is None else f"{getattr(before, name):.4f} -> "
        return f"{old}{getattr(after, name):.4f}"

    return (
        f"calibration error {change('ece')} (by chance alone {after.ece_by_chance:.4f}), Brier {change('brier')}, "
        f"log loss {change('log_loss')}, {after.n} pairs"
    )
