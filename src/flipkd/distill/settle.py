"""From the chosen answer to decisions: thresholds by the run's policy, and how calibrated the answer is."""

from dataclasses import dataclass, replace
from typing import Any

from flipkd.console import announce, warn
from flipkd.data.splits import warn_of_dependence
from flipkd.distill.compare import Comparison
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import FEWEST, SIGNALS, Answer, cross_fitted, too_few
from flipkd.evaluation.calibration import Calibration, in_words, log_odds_of, measure_calibration
from flipkd.evaluation.decisions import Decision, Shares, shares
from flipkd.evaluation.policies import Policy, decide
from flipkd.matching.validation import ValidationRecord


@dataclass(frozen=True)
class Settled:
    """How the artefact decides.

    Attributes:
        answer: The answer with the policy's threshold.
        decision: The policy and what it achieves on validation.
        measured: What it achieves on the measured split, if that is another.
        calibration: By split ``before`` (the decoder's own probability) and ``after`` (the answer's; on validation
            cross-fitted, or in-sample where a class has fewer than 10 pairs).
        record: What is kept of validation.
    """

    answer: Answer
    decision: Decision
    measured: Shares | None
    calibration: dict[str, dict[str, Calibration]]
    record: ValidationRecord

    def calibration_dict(self) -> dict[str, Any]:
        """The calibration by name, ready for JSON."""
        return {
            split: {name: found.as_dict() for name, found in sides.items()} for split, sides in self.calibration.items()
        }


def settle(config: DistillConfig, answer: Answer, comparison: Comparison, splits: Splits) -> Settled:
    """Choose the thresholds on validation, freeze them, measure, and print both with their reasons.

    Args:
        config: The settings.
        answer: As it was chosen on validation.
        comparison: What stands behind it.
        splits: The pairs.

    Raises:
        FlipkdError: If the policy can't be kept on validation.
    """
    label = splits.validation.require_labels()
    fitted_on = {source: signal.validation for source, signal in comparison.signals.items()}
    probability = cross_fitted(answer, fitted_on, label, seed=config.seed)
    try:
        decision = decide(Policy.parse(config.threshold_policy), probability, label)
    except FlipkdError as error:
        raise FlipkdError(
            f"{error} What was trained is kept: the same command with another --threshold-policy goes on from here."
        ) from error
    answer = replace(answer, threshold=decision.threshold)
    few = too_few(label)
    warn_of_answer(answer, few)
    calibration = {
        "validation": {
            "before": measure_calibration(fitted_on["decoder"], label),
            "after": measure_calibration(log_odds_of(probability), label),
        }
    }
    announce("threshold", f"{decision.threshold:.4f}", decision.reason)
    warn_of_dependence(splits.validation)
    announce(
        f"calibration on validation, {'in-sample' if few else 'cross-fitted'}",
        in_words(**calibration["validation"]),
        _HOW,
    )

    achieved, name = None, comparison.measured
    if name != "validation":
        truth = splits.tables[name].require_labels()
        signals = {source: signal.test for source, signal in comparison.signals.items()}
        achieved = shares(answer.probability(signals), truth, decision.threshold, decision.reject)
        calibration[name] = {
            "before": measure_calibration(signals["decoder"], truth),
            "after": measure_calibration(answer.logit(signals), truth),
        }
        announce(f"decisions on {name}", achieved.words(bands=decision.bands), "the thresholds of validation")
        warn_of_dependence(splits.tables[name])
        announce(f"calibration on {name}", in_words(**calibration[name]), _HOW)
    sources = dict.fromkeys([*answer.sources, "encoder"])
    record = ValidationRecord(
        digest=splits.validation.digest(),
        label=tuple(label.tolist()),
        probability=tuple(probability.tolist()),
        signals={source: tuple(fitted_on[source].tolist()) for source in sources},
    )
    return Settled(answer, decision, achieved, calibration, record)


def warn_of_answer(answer: Answer, few: bool) -> None:
    """Say what is odd about the artefact's own answer.

    Args:
        answer: As it was chosen.
        few: Whether validation has too few pairs of a class to be cross-fitted (`too_few`).
    """
    against = [SIGNALS[source] for source, weight in zip(answer.sources, answer.weights, strict=True) if weight < 0]
    if against:
        warn(f"In the answer the {' and the '.join(against)} count against a match.")
    if few:
        warn(
            f"Fewer than {FEWEST} validation pairs of a class: answer, threshold and calibration are measured on the "
            "pairs that they were fitted on, which flatters. Give more validation pairs."
        )


_HOW = "the decoder's own probability -> the answer's"
