"""Threshold policies: what the decision threshold is chosen for, on validation (docs/method.md section 6)."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibrators import at_prior
from flipkd.evaluation.checks import both_classes, finite
from flipkd.evaluation.decisions import Decision, class_weights, shares
from flipkd.evaluation.thresholds import Cuts, best_cut, cuts

FIGURES = {"f1": 0, "accuracy": 0, "precision": 1, "recall": 1, "cost": 2, "bands": 2}
"""The policies, and how many figures each is stated by."""
FORMS = (
    "f1, accuracy, precision=P, recall=R, cost=A:B (a false match costs A, a missed one B) or bands=P:Q (accept at "
    "precision P, reject at precision Q, review in between)"
)
# Weighted counts are sums of floats: a precision that is reached exactly must not fail by their rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Policy:
    """What the threshold is chosen for. Made from its words by `parse`, and written back by `str`."""

    kind: str
    """One of `FIGURES`."""
    figures: tuple[float, ...] = ()
    """What stands behind the equals sign."""

    @classmethod
    def parse(cls, words: str) -> "Policy":
        """A policy from its words, such as ``precision=0.95`` or ``bands=0.95:0.99``.

        Raises:
            FlipkdError: If there is no such policy, or a figure is out of its range.
        """
        kind, equals, rest = words.strip().partition("=")
        try:
            figures = tuple(float(part) for part in rest.split(":")) if equals else ()
        except ValueError:
            figures = (float("nan"),)
        if FIGURES.get(kind) != len(figures) or not all(figure > 0 and isfinite(figure) for figure in figures):
            raise FlipkdError(f"There is no threshold policy {words!r}. Say {FORMS}, every figure above 0.")
        if kind != "cost" and any(figure > 1 for figure in figures):
            raise FlipkdError(f"The threshold policy {words!r} asks for more than 1: say 0.95 for 95 %.")
        return cls(kind, figures)

    def __str__(self) -> str:
        return self.kind + ("=" + ":".join(f"{figure:.12g}" for figure in self.figures) if self.figures else "")


def decide(policy: Policy, probability: ArrayLike, label: ArrayLike, *, prior: float | None = None) -> Decision:
    """Choose the thresholds of a policy, on validation.

    Args:
        policy: What they are for.
        probability: (n,) cross-fitted probabilities of validation, at validation's own match rate.
        label: (n,) 0 or 1, both present.
        prior: The match rate to choose for: probabilities are moved there, and matches and non-matches count
            accordingly.

    Raises:
        FlipkdError: If the policy can't be kept on these pairs, a value is not finite, the labels are of one class, or
            the prior is not above 0 and below 1.
    """
    values = finite(probability, "probabilities")
    labels = both_classes(label, len(values))
    rate = float(labels.mean())
    if prior is not None:
        values = at_prior(values, rate, prior)
    found = cuts(values, labels)
    weights = class_weights(rate, prior)
    threshold, reject, why = _thresholds(policy, found, weights)
    achieved = shares(values, labels, threshold, reject, prior=prior)
    behind = f"{len(values)} validation pairs, {int(labels.sum())} of them matches"
    if prior is not None:
        behind += f", weighed as if {prior:.3g} of all pairs were"
    reason = f"{policy}: {why}; chosen on {behind}; {achieved.words(bands=policy.kind == 'bands')}"
    return Decision(str(policy), threshold, reject, achieved, reason)


def _thresholds(policy: Policy, found: Cuts, weights: tuple[float, float]) -> tuple[float, float, str]:
    """Threshold, where rejection ends, and why."""
    if policy.kind == "cost":
        false, missed = policy.figures
        cut = false / (false + missed)
        return cut, cut, "where a false match is expected to cost as much as a missed one; nothing is fitted"
    if policy.kind == "bands":
        low, high = _bands(policy, found, weights)
        why = "the fewest pairs to review at these precisions"
        return float(found.threshold[low]), float(found.threshold[high]), why
    if policy.kind == "precision":
        reached = _reaching(policy, policy.figures[0], found, weights)
        # Of the cuts with that recall, the one with the fewest false matches.
        chosen = int(reached[found.hits[reached] == found.hits[reached[-1]]][0])
        why = "the highest recall at this precision"
    elif policy.kind == "recall":
        reached = np.flatnonzero(found.hits / found.hits[-1] >= policy.figures[0] - _ROUNDING)
        chosen, why = int(reached[0]), "the highest threshold at this recall"
    else:
        target = "accuracy" if policy.kind == "accuracy" else "f1"
        chosen = best_cut(found, target, match_weight=weights[0], other_weight=weights[1])  # type: ignore[arg-type]
        why = f"the best {'accuracy' if policy.kind == 'accuracy' else 'F1'}"
    cut = float(found.threshold[chosen])
    return cut, cut, why


def _reaching(
    policy: Policy, stated: float, found: Cuts, weights: tuple[float, float], *, rejected: bool = False
) -> NDArray[np.intp]:
    """The cuts at which what is accepted, or rejected, has the stated precision.

    Raises:
        FlipkdError: If none has.
    """
    right = weights[1] * (found.alarms[-1] - found.alarms) if rejected else weights[0] * found.hits
    wrong = weights[0] * (found.hits[-1] - found.hits) if rejected else weights[1] * found.alarms
    taken = right + wrong
    precision = np.divide(right, taken, out=np.zeros_like(taken), where=taken > 0)
    reached = np.flatnonzero(precision >= stated - _ROUNDING)
    if reached.size:
        return reached
    best = float(precision.max())
    widest = float(taken[precision >= best - _ROUNDING].max() / (taken[0] if rejected else taken[-1]))
    what = "non-matches among the rejected" if rejected else "matches among those called one"
    raise FlipkdError(
        f"The threshold policy {policy} can't be kept: on the {int(found.hits[-1] + found.alarms[-1])} validation "
        f"pairs the best precision of {what} is {best:.4f}, with {widest:.1%} of the pairs. State no more, or give "
        "more or better validation pairs."
    )


def _bands(policy: Policy, found: Cuts, weights: tuple[float, float]) -> tuple[int, int]:
    """The cut from which pairs are accepted, and the one below which they are rejected."""
    accept = _reaching(policy, policy.figures[0], found, weights)
    reject = _reaching(policy, policy.figures[1], found, weights, rejected=True)
    # For each way to accept, the rejection that leaves the fewest in between.
    place = np.searchsorted(reject, accept)
    accept, place = accept[place < len(reject)], place[place < len(reject)]
    if not accept.size:
        raise FlipkdError(
            f"The threshold policy {policy} can't be kept: each of its precisions is reached on validation, but only "
            "by deciding so many pairs one way that too few are left for the other. State other precisions."
        )
    nearest = reject[place]
    called = weights[0] * found.hits + weights[1] * found.alarms
    right = weights[0] * found.hits[accept] + weights[1] * (found.alarms[-1] - found.alarms[nearest])
    best = int(np.lexsort((-right, called[nearest] - called[accept]))[0])
    return int(accept[best]), int(nearest[best])
