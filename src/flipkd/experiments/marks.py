"""The marks that the main table was asked to reach before it was run, counted from the cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flipkd.evaluation.intervals import Interval, Metric
from flipkd.experiments.comparisons import METRICS, SetResults
from flipkd.experiments.grid import settings_digest
from flipkd.experiments.sets import PAIR_SETS

SEEDS = 3
"""The seeds that were asked for."""
POINT = 0.01
"""One point of F1 or AP."""
# Differences of equal means are rounding errors, which must not decide "at least".
_NONE = 1e-9

Holds = Callable[[Interval], bool]


@dataclass(frozen=True)
class Condition:
    """Something that was to hold on a number of sets, and where it does."""

    text: str
    """What was to hold."""
    asked: int
    """On how many sets of the table."""
    known: tuple[str, ...]
    """The sets with both methods' cells, of today's recipe."""
    held: tuple[str, ...]
    """Those of them where it holds."""
    thin: tuple[str, ...]
    """Those of them with fewer seeds than were asked for."""
    alone: tuple[str, ...]
    """Those of them where the method's answer is the teacher's alone, which validation chose."""

    @property
    def verdict(self) -> str:
        """Met, not met, or cannot be told yet: sets without cells, or without all their seeds, could still decide."""
        sure = len(set(self.held) - set(self.thin))
        undecided = len(PAIR_SETS) - len(self.known) + len(self.thin)
        if sure >= self.asked:
            return "met"
        return "cannot be told yet" if sure + undecided >= self.asked else "not met"


@dataclass(frozen=True)
class Mark:
    """One thing the table must show: all conditions together."""

    text: str
    """What it says."""
    conditions: tuple[Condition, ...]
    """What must hold."""
    beside: tuple[Condition, ...] = ()
    """What stands beside it, shown and not counted: mostly the same on average precision."""

    @property
    def verdict(self) -> str:
        """Met if every condition is, not met if one is not."""
        verdicts = {condition.verdict for condition in self.conditions}
        return next(word for word in ("not met", "cannot be told yet", "met") if word in verdicts)


def at_least(points: float) -> Holds:
    """The difference is at least this many points."""
    return lambda interval: interval.difference >= points * POINT - _NONE


def above(interval: Interval) -> bool:
    """The difference is above 0."""
    return interval.difference > _NONE


def behind(interval: Interval) -> bool:
    """The difference is below 0."""
    return interval.difference < -_NONE


def surely(points: float) -> Holds:
    """The difference is at least this many points and its interval lies above 0."""
    return lambda interval: at_least(points)(interval) and interval.low > 0


def surely_anew(points: float) -> Holds:
    """As `surely`, and the interval of other trainings lies above 0, too."""
    return lambda interval: surely(points)(interval) and interval.anew[0] > 0


def marks(results: Sequence[SetResults]) -> list[Mark]:
    """Count the five marks over the sets that have cells.

    Where a mark names no metric it is counted on F1 at the frozen thresholds (our reading), and average precision is
    shown beside it.

    Args:
        results: What came out; sets that are not of the table, or of an earlier recipe, are not counted. Nor is a gain
            over the teacher where the answer is the teacher's alone, at another threshold.
    """

    def on(
        text: str, method: str, reference: str, asked: int, holds: Holds, metrics: Sequence[Metric] = ("f1",)
    ) -> Condition:
        return _condition(results, text, method, reference, asked, holds, metrics)

    def both(text: str, method: str, reference: str, asked: int, holds: Holds) -> tuple[Condition, Condition]:
        f1, ap = (on(f"{text} ({metric.upper()})", method, reference, asked, holds, [metric]) for metric in METRICS)
        return f1, ap

    ensemble = both(
        "`flipped_teacher` at least `fine_tuned_teacher`", "flipped_teacher", "fine_tuned_teacher", 5, at_least(0)
    )
    above_teacher = both("`flipped_teacher` above `teacher`", "flipped_teacher", "teacher", 6, above)
    own_teacher = both("`flipped_answer` at least `teacher`", "flipped_answer", "teacher", 3, at_least(0))
    worth = both("`no_teacher_answer` behind `flipped_answer`", "no_teacher_answer", "flipped_answer", 6, behind)
    decoder = ("flipped_decoder", "fine_tuned_long")
    return [
        Mark(
            "The decoder, flipped, beats the longer fine-tuning: the paper's claim",
            (
                on("at least 1 point ahead, F1 or AP", *decoder, 5, at_least(1), METRICS),
                on("and the interval of that same metric above 0", *decoder, 4, surely(1), METRICS),
            ),
            (
                on(
                    "at least 1 point ahead of `fine_tuned`, F1 or AP",
                    "flipped_decoder",
                    "fine_tuned",
                    5,
                    at_least(1),
                    METRICS,
                ),
                on("the interval above 0 if the seeds are drawn anew, too", *decoder, 4, surely_anew(1), METRICS),
            ),
        ),
        Mark(
            "The flipped student's answer beats the longer fine-tuning",
            (on("at least 3 points of F1 ahead", "flipped_answer", "fine_tuned_long", 5, at_least(3)),),
        ),
        Mark(
            "With the teacher at hand, flipping is no worse than fine-tuning, and better than the teacher",
            (ensemble[0], above_teacher[0]),
            (ensemble[1], above_teacher[1]),
        ),
        Mark("The flipped student's answer reaches its teacher", own_teacher[:1], own_teacher[1:]),
        Mark("Without a teacher the same training is worse", worth[:1], worth[1:]),
    ]


def of_today(each: SetResults) -> bool:
    """Whether the cells of a set of the table were measured with today's recipe."""
    today = settings_digest(PAIR_SETS[each.name])
    return all(cell.settings == today for cell in each.every)


def _condition(
    results: Sequence[SetResults],
    text: str,
    method: str,
    reference: str,
    asked: int,
    holds: Holds,
    metrics: Sequence[Metric],
) -> Condition:
    known, held, thin, alone = [], [], [], []
    for each in results:
        found = [each.differences.get((metric, method, reference)) for metric in metrics]
        intervals = [interval for interval in found if interval is not None]
        if each.name not in PAIR_SETS or not of_today(each) or not intervals:
            continue
        known.append(each.name)
        if each.notes(method) == ["teacher"]:
            alone.append(each.name)
        if any(holds(interval) for interval in intervals) and not (reference == "teacher" and each.name in alone):
            held.append(each.name)
        if intervals[0].seeds < SEEDS:
            thin.append(each.name)
    return Condition(text, asked, tuple(known), tuple(held), tuple(thin), tuple(alone))
