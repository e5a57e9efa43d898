"""What a faster cascade would cost: bands that may change more and more decisions."""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import cuts_of, decided, fit_band
from flipkd.evaluation.checks import both_classes
from flipkd.evaluation.metrics import measure

BUDGETS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""The shares of changed decisions that the curve of speed against loss goes through."""


@dataclass(frozen=True)
class Point:
    """One point of the curve of speed against loss."""

    allowed: float
    """Share of the validation decisions that might change."""
    skipped: float
    """Share of the validation pairs that skip the decoder."""
    changed: float
    """Share of the validation decisions that do change."""
    changed_held_out: float
    """The same, fitted on one half of validation and measured on the other."""
    measured_skipped: float
    """Share of the measured pairs that skip the decoder."""
    measured_changed: float
    """Share of the measured decisions that change."""
    measured_f1: float
    """F1 of the measured decisions."""


def speed_curve(
    answer: Answer,
    validation: Mapping[str, ArrayLike],
    validation_label: ArrayLike,
    measured: Mapping[str, ArrayLike],
    measured_label: ArrayLike,
    *,
    seed: int,
    reject: float | None = None,
) -> list[Point]:
    """How many pairs skip the decoder if more decisions may change: bands of `BUDGETS`.

    Args:
        answer: The full answer, with the decoder in it.
        validation: (n,) numbers by source, on which the bands are fitted.
        validation_label: (n,) 0 or 1.
        measured: (m,) numbers by source, on which they are measured.
        measured_label: (m,) 0 or 1.
        seed: As for `fit_band`.
        reject: As for `fit_band`.

    Returns:
        A point a budget, in rising order; where no band can be fitted nothing is skipped.
    """
    full, cuts = answer.probability(measured), cuts_of(answer, reject)
    label = both_classes(measured_label, len(full))
    points = []
    for allowed in BUDGETS:
        band, _ = fit_band(answer, validation, validation_label, seed=seed, reject=reject, allowed=allowed)
        found = full if band is None else band.probability(answer, measured)
        points.append(
            Point(
                allowed=allowed,
                skipped=band.skipped if band else 0.0,
                changed=band.changed if band else 0.0,
                changed_held_out=band.changed_held_out if band else 0.0,
                measured_skipped=1 - float(band.asks(measured["encoder"]).mean()) if band else 0.0,
                measured_changed=float((decided(found, cuts) != decided(full, cuts)).mean()),
                measured_f1=measure(found, label, answer.threshold).f1,
            )
        )
    return points
