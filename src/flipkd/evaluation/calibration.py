"""Whether a probability means what it says."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError
from flipkd.evaluation.checks import both_classes, finite

BINS = 10
"""Of the calibration error: each holds as many pairs as the others, so each rests on as much."""
SMALLEST = 1e-15
"""Probabilities count as at least this far from 0 and 1 in the log loss, which would be infinite there."""


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from what happened."""

    calibration_error: float
    """Mean over `BINS` bins of equally many pairs of the gap between the mean probability and the share of matches."""
    brier: float
    """Mean squared distance to the label."""
    log_loss: float
    """Mean negative natural logarithm of the probability given to what is true."""
    n: int
    """Number of pairs."""

    def as_dict(self) -> dict[str, float | int]:
        """The fields by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Bins:
    """Pairs in the order of their probability, cut into bins of equally many.

    Attributes:
        said: (bins,) float64, the mean probability.
        seen: (bins,) float64, the share of matches.
        sizes: (bins,) int64.
    """

    said: NDArray[np.float64]
    seen: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The mean gap between said and seen, by the pairs behind it."""
        return float((np.abs(self.said - self.seen) * self.sizes).sum() / self.sizes.sum())


def bin_pairs(probability: ArrayLike, label: ArrayLike, bins: int = BINS) -> Bins:
    """Cut pairs into bins of equally many.

    Equal probabilities on both sides of a cut go by their order in the file.

    Args:
        probability: (n,) in [0, 1].
        label: (n,) 0 or 1, both present.
        bins: How many, at most one a pair.

    Raises:
        FlipkdError: If a probability is none, or the labels are of one class.
    """
    values, labels = _checked(probability, label)
    parts = np.array_split(np.argsort(values, kind="stable"), min(bins, len(values)))
    return Bins(
        said=np.array([values[part].mean() for part in parts]),
        seen=np.array([labels[part].mean() for part in parts]),
        sizes=np.array([len(part) for part in parts]),
    )


def calibration(probability: ArrayLike, label: ArrayLike) -> Calibration:
    """Measure probabilities against labels.

    Args:
        probability: (n,) in [0, 1].
        label: (n,) 0 or 1, both present.

    Raises:
        FlipkdError: If a probability is none, or the labels are of one class.
    """
    values, labels = _checked(probability, label)
    bounded = np.clip(values, SMALLEST, 1 - SMALLEST)
    return Calibration(
        calibration_error=bin_pairs(values, labels).error,
        brier=float(((values - labels) ** 2).mean()),
        log_loss=float(-np.log(np.where(labels == 1, bounded, 1 - bounded)).mean()),
        n=len(values),
    )


def _checked(probability: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values = finite(probability, "probabilities")
    if ((values < 0) | (values > 1)).any():
        row = int(np.flatnonzero((values < 0) | (values > 1))[0])
        raise FlipkdError(f"Row {row} holds {values[row]:g}, which is no probability: it must be in [0, 1].")
    return values, both_classes(label, len(values))
