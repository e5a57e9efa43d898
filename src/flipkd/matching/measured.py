"""An artefact measured on labelled pairs, by the thresholds it has."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flipkd.console import announce, warn
from flipkd.data.table import PairTable
from flipkd.evaluation.calibration import Calibration, log_odds_of, measure_calibration
from flipkd.evaluation.decisions import Shares, shares
from flipkd.evaluation.metrics import Metrics, measure
from flipkd.matching.matcher import Matcher
from flipkd.matching.systems import seen_by


@dataclass(frozen=True)
class Measured:
    """What an artefact achieves on labelled pairs; nothing is fitted on them."""

    policy: str
    """The threshold policy that is kept, as on validation."""
    metrics: Metrics
    """At its threshold."""
    decisions: Shares
    """What is accepted, reviewed and rejected, and how precisely."""
    before: Calibration | None
    """Of the decoder's own probability; None where it is not asked for every pair."""
    after: Calibration
    """Of the answer's probability."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def measure_artefact(
    matcher: Matcher, pairs: PairTable, *, cascade: bool = False, batch_tokens: int = 1024
) -> Measured:
    """Answer labelled pairs and measure the answers.

    Args:
        matcher: The artefact, perhaps with another policy or prior than its own.
        pairs: With labels of both classes.
        cascade: As for `Matcher.match_many`.
        batch_tokens: Tokens of a batch.

    Raises:
        FlipkdError: If a label is missing, the labels are of one class, or there is no band to cascade by.
    """
    label = pairs.require_labels()
    for warning in seen_by("The artefact", matcher.spec, pairs):
        warn(warning)
    found = matcher.match_arrays(pairs.text_a, pairs.text_b, batch_tokens=batch_tokens, cascade=cascade)
    threshold, decision = matcher.answer.threshold, matcher.decision
    rate, expected = float(label.mean()), matcher.answer.match_rate
    if expected is not None and abs(rate - expected) > _apart(len(label), rate, expected):
        announce(
            "match rate",
            f"{rate:.3g}",
            f"the probabilities reckon with {expected:.3g}; if these pairs are as in production, --prior {rate:.3g}",
        )
    return Measured(
        policy="f1" if decision is None else decision.policy,
        metrics=measure(found.probability, label, threshold),
        decisions=shares(found.probability, label, threshold, None if decision is None else decision.reject),
        before=None if found.skipped else measure_calibration(found.logit, label),
        after=measure_calibration(log_odds_of(found.probability), label),
    )


def _apart(n: int, rate: float, expected: float) -> float:
    """How far two match rates may be apart by chance: three standard errors of the measured one."""
    return 3 * float(np.sqrt(max(rate * (1 - rate), expected * (1 - expected)) / n))
