"""The answer: one calibrated probability from decoder, encoder or both (docs/method.md section 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibrators import (
    FEWEST_FOR_STEPS,
    Steps,
    copies,
    cross_fit,
    fit_logistic,
    fit_steps,
    mean_and_error,
    prior_shift,
)
from flipkd.evaluation.checks import as_written, both_classes, finite, require_numbers
from flipkd.evaluation.thresholds import best_threshold

Array = NDArray[np.float64]

SIGNALS = {
    "decoder": "log-odds of the decoder",
    "encoder": "similarities of the encoder",
    "teacher": "similarities of the teacher",
}
# With fewer pairs of a class a fold would hold one of them, and a choice between candidates would be a guess.
FEWEST = 10


@dataclass(frozen=True)
class Answer:
    """A logistic model of one to three signals, perhaps with steps over it, and the decision threshold."""

    sources: tuple[str, ...]
    """Of ``decoder`` (log-odds), ``encoder`` (cosine) and ``teacher`` (cosine), in this order."""
    weights: tuple[float, ...]
    """One per source, on the signal as it is (no standardising)."""
    bias: float
    """Added to the weighted sum."""
    threshold: float
    """A match is a probability >= this."""
    reason: str
    """Why this answer was chosen, with the numbers and the rows behind it."""
    steps: Steps | None = None
    """Isotonic calibration of the logistic model's log-odds, where that won on validation."""
    match_rate: float | None = None
    """The share of matches that the probability reckons with: validation's, or the one given to `at_prior`. None in
    artefacts older than it."""

    def logit(self, signals: Mapping[str, ArrayLike]) -> Array:
        """The calibrated log-odds of a match.

        Args:
            signals: (n,) numbers by source; sources the answer does not use are not read.

        Returns:
            (n,) float64.

        Raises:
            FlipkdError: If a source is missing or holds a number that is not finite.
        """
        fused = np.asarray(_columns(signals, self.sources) @ np.asarray(self.weights) + self.bias)
        return fused if self.steps is None else self.steps(fused)

    def probability(self, signals: Mapping[str, ArrayLike]) -> Array:
        """The calibrated probability of a match, (n,) float64; arguments and errors as for `logit`."""
        from scipy.special import expit

        return np.asarray(expit(self.logit(signals)))

    def at_prior(self, prior: float) -> "Answer":
        """The answer where matches come at another rate; its threshold stays what it is, on the new probability.

        Args:
            prior: The share of matches.

        Raises:
            FlipkdError: If the prior is not above 0 and below 1, or the answer's own rate is not known.
        """
        if self.match_rate is None:
            raise FlipkdError(
                "This artefact does not say how many of its validation pairs were matches, so it can't be re-weighted: "
                "it is older than that record. Train again, or leave the prior away."
            )
        move = prior_shift(self.match_rate, prior)
        if self.steps is not None:
            return replace(self, steps=self.steps.moved(move), match_rate=prior)
        return replace(self, bias=self.bias + move, match_rate=prior)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Answer":
        """The answer that `as_dict` wrote, also after a way through JSON.

        Raises:
            FlipkdError: If it is not what was written.
        """
        with as_written("answer"):
            sources, curve = tuple(fields["sources"]), fields.get("steps") and Steps.from_dict(fields["steps"])
            if not sources or [source for source in SIGNALS if source in sources] != list(sources):
                raise ValueError(f"sources are {sources}")
            weights = dict(zip(sources, fields["weights"], strict=True))
            made = cls(**{**fields, "sources": sources, "weights": tuple(weights.values()), "steps": curve})
            require_numbers(**weights, bias=made.bias, threshold=made.threshold, match_rate=made.match_rate or 0.0)
        return made


def _columns(signals: Mapping[str, ArrayLike], sources: Sequence[str]) -> Array:
    """The (n, len(sources)) matrix of the signals."""
    missing = [SIGNALS[source] for source in sources if source not in signals]
    if missing:
        raise FlipkdError(
            f"The answer needs the {' and the '.join(missing)}, which are not there. An answer with the "
            "teacher in it was made by --keep-teacher and needs the teacher wherever it is used."
        )
    return np.stack([finite(signals[source], SIGNALS[source]) for source in sources], axis=1)


def _choose(losses: Mapping[tuple[str, ...], Array], group: NDArray[np.int64]) -> tuple[tuple[str, ...], str]:
    """The simplest candidate that no richer one beats by more than a standard error, and the reason."""
    ordered = sorted(losses, key=lambda sources: (len(sources), losses[sources].mean()))
    chosen = ordered[0]
    steps = []
    for richer in ordered[1:]:
        if len(richer) == len(chosen):
            continue
        gain, error = mean_and_error(losses[chosen] - losses[richer], group)
        taken = gain > error
        steps.append(
            f"{_name(richer)} {'beats' if taken else 'does not beat'} {_name(chosen)} by more than "
            f"a standard error ({gain:+.4f} against {error:.4f})"
        )
        chosen = richer if taken else chosen
    figures = ", ".join(f"{_name(sources)} {losses[sources].mean():.4f}" for sources in ordered)
    return chosen, "; ".join([f"cross-fitted log loss {figures}", *steps])


def _name(sources: Sequence[str]) -> str:
    return " + ".join(sources)


def fit_answer(
    signals: Mapping[str, ArrayLike],
    label: ArrayLike,
    sources: Sequence[tuple[str, ...]],
    *,
    seed: int,
    steps: bool = True,
) -> Answer:
    """Choose what answers and calibrate it, all on validation.

    Each candidate is a logistic regression, compared by the log loss on rows its fit did not see (5 folds,
    repeated 4 times, stratified). The best of the simplest candidates answers, unless a richer one's mean
    gain per row exceeds one standard error of the paired difference. Steps over its log-odds calibrate it if
    they gain as much. Both are then fitted on all rows; the threshold is the one with the best F1 of the
    cross-fitted probabilities. With fewer than 10 pairs of a class nothing can be compared: the first of the
    simplest candidates answers, and its threshold is fitted on the very probabilities its coefficients gave.

    Args:
        signals: (n,) numbers by source.
        label: (n,) 0 or 1, both present.
        sources: The candidates, such as ``("decoder",)`` and ``("decoder", "encoder")``.
        seed: Of the folds.
        steps: Whether isotonic steps may calibrate; else the logistic model alone does.

    Raises:
        FlipkdError: If a source is missing, a number is not finite, or the labels are of one class.
    """
    candidates = [tuple(sorted(candidate, key=list(SIGNALS).index)) for candidate in sources]
    features = {candidate: _columns(signals, candidate) for candidate in candidates}
    n = len(next(iter(features.values())))
    labels = both_classes(label, n)
    matches = int(labels.sum())
    behind = f"{n} validation pairs, {matches} of them matches"

    stepped = False
    if too_few(labels):
        chosen = min(candidates, key=len)
        reason = (
            f"{_name(chosen)}: the simplest, since {behind}, are too few to compare answers (at least "
            f"{FEWEST} of each class); threshold fitted on the same rows as the coefficients"
        )
    else:
        losses = {candidate: cross_fit(features[candidate], labels, seed)[0] for candidate in candidates}
        chosen, why = _choose(losses, copies(np.column_stack(list(features.values()))))
        reason = f"{_name(chosen)}: {why}; {behind}; threshold fitted on the cross-fitted probabilities"
        if steps:
            stepped, why = _choose_steps(features[chosen], labels, losses[chosen], seed)
            reason += f"; {why}"

    weights, bias = fit_logistic(features[chosen], labels)
    against = [source for source, weight in zip(chosen, weights, strict=True) if weight < 0]
    if against:
        reason += f"; negative weight on {_name(against)}"
    curve = fit_steps(features[chosen] @ weights + bias, labels) if stepped else None
    answer = Answer(chosen, tuple(weights.tolist()), bias, 0.5, reason, curve, matches / n)
    return replace(answer, threshold=best_threshold(cross_fitted(answer, signals, labels, seed=seed), labels))


def too_few(labels: NDArray[np.int64]) -> bool:
    """Whether a class has too few pairs to be cross-fitted."""
    return bool(min(labels.sum(), len(labels) - labels.sum()) < FEWEST)


def _choose_steps(features: Array, label: NDArray[np.int64], logistic: Array, seed: int) -> tuple[bool, str]:
    """Whether steps calibrate better than the logistic model, whose losses by row are given, and the reason."""
    group = copies(features)
    fewest = min(len(np.unique(group[label == one])) for one in (0, 1))
    if fewest < FEWEST_FOR_STEPS:
        return False, f"logistic calibration, since {fewest} distinct pairs of a class are too few for isotonic steps"
    gain, error = mean_and_error(logistic - cross_fit(features, label, seed, steps=True)[0], group)
    won = gain > error
    return won, (
        f"{'isotonic' if won else 'logistic'} calibration, since isotonic steps {'beat' if won else 'do not beat'} the "
        f"logistic model by more than a standard error ({gain:+.4f} against {error:.4f})"
    )


def cross_fitted(answer: Answer, signals: Mapping[str, ArrayLike], label: ArrayLike, *, seed: int) -> Array:
    """What an answer of these sources and this calibrator says of rows that its fit did not see.

    Args:
        answer: As `fit_answer` chose it on these rows.
        signals: (n,) numbers by source.
        label: (n,) 0 or 1, both present.
        seed: Of the folds.

    Returns:
        (n,) float64 probabilities; with fewer than 10 pairs of a class the answer's own, which saw them.

    Raises:
        FlipkdError: If a source is missing, a number is not finite, or the labels are of one class.
    """
    features = _columns(signals, answer.sources)
    labels = both_classes(label, len(features))
    if too_few(labels):
        return answer.probability(signals)
    return cross_fit(features, labels, seed, steps=answer.steps is not None)[1]


def threshold_alone(value: ArrayLike, label: ArrayLike, *, seed: int) -> float:
    """The threshold that an answer of one signal alone would have, in the signal's own unit.

    It stands where `fit_answer` puts an answer's, by the best F1 of cross-fitted probabilities, so that answers and
    signals compare by one rule. Where the signal counts against a match, or pairs are too few to cross-fit, it is the
    one with the best F1 of the signal itself.

    Args:
        value: (n,) finite numbers that should grow with the match.
        label: (n,) 0 or 1, both present.
        seed: Of the folds.

    Returns:
        A finite number: a match is a value >= it.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    from scipy.special import logit

    features = finite(value, "values")[:, None]
    labels = both_classes(label, len(features))
    (weight,), bias = fit_logistic(features, labels)
    if weight <= 0 or too_few(labels):
        return best_threshold(value, labels)
    cut = best_threshold(cross_fit(features, labels, seed)[1], labels)
    return float((logit(cut) - bias) / weight) if 0 < cut < 1 else best_threshold(value, labels)


def choose_order(log_odds: ArrayLike, swapped: ArrayLike, label: ArrayLike, *, seed: int) -> tuple[bool, str]:
    """Whether averaging the log-odds of both orders wins on validation, for it costs twice.

    Args:
        log_odds: (n,) of the pairs as given.
        swapped: (n,) of the pairs with a and b exchanged.
        label: (n,) 0 or 1, both present.
        seed: Of the cross-fitting.

    Returns:
        Whether its cross-fitted log loss is lower by more than a standard error, and the reason.
    """
    given = finite(log_odds, SIGNALS["decoder"])
    labels = both_classes(label, len(given))
    if too_few(labels):
        return False, f"fewer than {FEWEST} validation pairs of a class are too few to tell"
    averaged = (given + finite(swapped, SIGNALS["decoder"])) / 2
    losses = [cross_fit(column[:, None], labels, seed)[0] for column in (given, averaged)]
    gain, error = mean_and_error(losses[0] - losses[1], copies(averaged[:, None]))
    figures = f"averaging gains {gain:+.4f} in log loss, standard error {error:.4f}, {len(labels)} pairs"
    return gain > error, figures
