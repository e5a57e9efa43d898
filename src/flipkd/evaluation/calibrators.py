"""Calibrators: what turns signals into a probability, and how well they do on rows they did not see.

Two, both monotone: a logistic regression of the signals (Platt's scaling, where there is one), and rising steps over
its log-odds (isotonic regression), for where the logistic curve has the wrong shape.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.console import warn
from flipkd.errors import FlipkdError

Array = NDArray[np.float64]

FOLDS, REPEATS = 5, 4
SAME_LEVEL = 1e-9
"""Log-odds that are nearer are one."""
FEWEST_FOR_STEPS = 50
"""With fewer pairs of a class the steps are not tried: each would rest on a handful of pairs."""


@dataclass(frozen=True)
class Steps:
    """A rising curve from the logistic model's log-odds to calibrated ones, by isotonic regression.

    Straight between the knots, so that no two pairs tie that did not before; beyond the outermost ones parallel to the
    logistic model, which is all that is known there.
    """

    knots: tuple[float, ...]
    """Log-odds of the logistic model, rising: the mean of each step's pairs."""
    log_odds: tuple[float, ...]
    """The calibrated log-odds at each of them, rising; finite, since no step is all of one class."""

    def __post_init__(self) -> None:
        figures = np.asarray([*self.knots, *self.log_odds], dtype=np.float64)
        rising = all(a < b for side in (self.knots, self.log_odds) for a, b in pairwise(side))
        if not self.knots or len(self.knots) != len(self.log_odds) or not np.isfinite(figures).all() or not rising:
            raise FlipkdError(
                "The steps of a calibrator must be two rows of equally many finite, rising numbers. The artefact was "
                "edited: take it from where it was made, or train again."
            )

    def __call__(self, logit: ArrayLike) -> Array:
        """The calibrated log-odds, (n,) float64.

        Args:
            logit: (n,) log-odds of the logistic model.
        """
        given, knots, levels = (np.asarray(each, dtype=np.float64) for each in (logit, self.knots, self.log_odds))
        left = np.clip(np.searchsorted(knots, given, side="right") - 1, 0, max(len(knots) - 2, 0))
        right = np.minimum(left + 1, len(knots) - 1)
        # By the share of the way rather than by np.interp's slope, which overflows between knots that almost touch.
        span = knots[right] - knots[left]
        reached = np.clip(given, knots[0], knots[-1]) - knots[left]
        way = np.divide(reached, span, out=np.zeros_like(span), where=span > 0)
        inside = np.minimum(levels[left] + way * (levels[right] - levels[left]), levels[right])
        return inside + np.minimum(given - self.knots[0], 0) + np.maximum(given - self.knots[-1], 0)

    def moved(self, by: float) -> "Steps":
        """The curve with every calibrated log-odds higher by a number; levels that rounding makes one are one knot."""
        levels = np.asarray(self.log_odds) + by
        rises = np.concatenate([[True], np.diff(levels) > 0])
        return Steps(tuple(np.asarray(self.knots)[rises].tolist()), tuple(levels[rises].tolist()))

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON: every number is finite."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Steps":
        """The steps that `as_dict` wrote, to the bit, also after a way through JSON.

        Raises:
            FlipkdError: If they are not finite, or do not rise.
        """
        return cls(tuple(fields["knots"]), tuple(fields["log_odds"]))


def fit_logistic(features: Array, label: NDArray[np.int64]) -> tuple[Array, float]:
    """Weights and bias of a logistic regression on the features as they are.

    The penalty (C = 1) is on standardised features, so no signal's unit decides how much it is held back;
    it also keeps the weights finite where the classes can be told apart without error.

    Args:
        features: (n, k) float64.
        label: (n,) 0 or 1, both present.

    Returns:
        The k weights, and the bias.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=1.0).fit(scaler.transform(features), label)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def fit_steps(logit: Array, label: NDArray[np.int64]) -> Steps:
    """Isotonic regression of the label on the log-odds.

    One match more at the lowest log-odds and one non-match more at the highest keep every step away from 0 and 1, as
    much as its pairs warrant: a purest step of m pairs says m / (m + 1). So no pair costs an infinite log loss.

    Args:
        logit: (n,) log-odds of the logistic model.
        label: (n,) 0 or 1, both present.
    """
    from sklearn.isotonic import isotonic_regression

    values = np.concatenate([logit, [logit.min(), logit.max()]])
    truth = np.concatenate([label, [1, 0]]).astype(np.float64)
    distinct, where, pairs = np.unique(values, return_inverse=True, return_counts=True)
    share = np.bincount(where, weights=truth) / pairs
    level = isotonic_regression(share, sample_weight=pairs.astype(np.float64))
    log_odds = np.log(level) - np.log1p(-level)
    # Neighbours of one level are one step, whichever way rounding took its share (1/7 and 2/14).
    step = np.concatenate([[0], np.cumsum(np.diff(log_odds) > SAME_LEVEL)])
    first = np.concatenate([[0], np.flatnonzero(np.diff(step)) + 1])
    last = np.concatenate([first[1:] - 1, [len(distinct) - 1]])
    mean = np.bincount(step, weights=distinct * pairs) / np.bincount(step, weights=pairs)
    # A mean may leave its own step by rounding, and then stand on the next one's knot.
    knots = np.clip(mean, distinct[first], distinct[last])
    return Steps(tuple(knots.tolist()), tuple(log_odds[first].tolist()))


def copies(features: Array) -> NDArray[np.int64]:
    """(n,) which rows are the same, numbered as they first come: copies of a pair say nothing new.

    Args:
        features: (n, k) float64. A pair and its swapped twin are the same where both orders are averaged.
    """
    _, first, group = np.unique(features, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group.reshape(-1)]


def mean_and_error(gain: Array, group: NDArray[np.int64]) -> tuple[float, float]:
    """The mean over the rows and its standard error, rows of one group counted as one observation of their sum.

    Args:
        gain: (n,) float64.
        group: (n,) from 0, such as `copies` gives. One group alone tells nothing: its error is infinite.
    """
    mean = gain.mean()
    off = np.bincount(group, weights=gain - mean)
    if len(off) == 1:
        return float(mean), float("inf")
    return float(mean), float(np.sqrt(len(off) / (len(off) - 1) * (off**2).sum()) / len(gain))


def cross_fit(features: Array, label: NDArray[np.int64], seed: int, *, steps: bool = False) -> tuple[Array, Array]:
    """Per row: log loss and probability by models that did not see the row or a copy of it, mean over the repeats.

    Args:
        features: (n, k) float64.
        label: (n,) 0 or 1.
        seed: Of the folds.
        steps: Put steps over the logistic model, both fitted on the rows of the other folds.

    Returns:
        (n,) float64 each.
    """
    from scipy.special import expit
    from sklearn.model_selection import RepeatedStratifiedKFold

    loss, probability = np.zeros(len(label)), np.zeros(len(label))
    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    group = copies(features)
    of_group = np.zeros(group.max() + 1, dtype=np.int64)
    np.maximum.at(of_group, group, label)
    if np.bincount(of_group, minlength=2).min() < FOLDS:
        warn(f"Fewer than {FOLDS} validation pairs of a class differ in what is read: copies are parted by the folds.")
        group, of_group = np.arange(len(label)), label
    for _, chosen in splits.split(of_group[:, None], of_group):
        outside = np.isin(group, chosen)
        seen, held = np.flatnonzero(~outside), np.flatnonzero(outside)
        weights, bias = fit_logistic(features[seen], label[seen])
        logit = features[held] @ weights + bias
        if steps:
            logit = fit_steps(features[seen] @ weights + bias, label[seen])(logit)
        loss[held] += np.logaddexp(0, np.where(label[held] == 1, -logit, logit)) / REPEATS
        probability[held] += expit(logit) / REPEATS
    return loss, probability


def prior_shift(rate: float, prior: float) -> float:
    """What a calibrated log-odds moves by when matches come at another rate.

    Only how many matches there are may differ, not how matches and non-matches look: then Bayes' rule moves every
    log-odds by logit(prior) - logit(rate).

    Args:
        rate: The share of matches that the calibrator was fitted on.
        prior: The share where it is used.

    Raises:
        FlipkdError: If one is not above 0 and below 1.
    """
    for share in (rate, prior):
        if not 0 < share < 1:
            raise FlipkdError(f"The prior is {share:g}; a share of matches must be above 0 and below 1.")
    there, here = (np.log(share) - np.log1p(-share) for share in (prior, rate))
    return float(there - here)


def at_prior(probability: ArrayLike, rate: float, prior: float) -> Array:
    """Probabilities at another rate of matches, (n,) float64: `prior_shift` for those that may be 0 or 1.

    Args:
        probability: (n,) in [0, 1].
        rate: As for `prior_shift`.
        prior: As for `prior_shift`.

    Raises:
        FlipkdError: As for `prior_shift`.
    """
    given = np.asarray(probability, dtype=np.float64)
    odds = np.exp(prior_shift(rate, prior))
    return np.asarray(given * odds / (given * odds + (1 - given)))
