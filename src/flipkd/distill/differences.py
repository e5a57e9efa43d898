"""How far the artefact's answer is ahead of other methods or behind them, with intervals (docs/how-to/report.md)."""

from typing import Any

from flipkd.data.splits import independent_groups, text_groups
from flipkd.data.table import PairTable
from flipkd.distill.compare import Comparison
from flipkd.evaluation.intervals import LEVEL, REPLICATES
from flipkd.evaluation.paired import Gap, System, measure_gaps

OTHERS = {
    "fine_tuned": "fine_tuned",
    "teacher": "teacher",
    "zero_shot": "zero_shot",
    "fine_tuned_teacher": "fine_tuned_teacher_probability",
}
"""What the answer is compared with, and the columns of their values."""


def differences(comparison: Comparison, method: str, measured: PairTable) -> dict[str, Any]:
    """Compare one method with the others on the measured pairs, as `flipkd compare` does, with its seed and draws.

    Args:
        comparison: The rows and what stands behind them.
        method: The row that the artefact's answer has.
        measured: The labelled pairs.

    Returns:
        Ready for JSON; ``against`` holds F1 and AUC by the rows of the other methods.
    """
    group = text_groups(measured.text_a, measured.text_b)
    label = measured.require_labels()

    def system(row: str, column: str) -> System:
        value = comparison.columns[column]
        return System(row, value >= comparison.rows[row].threshold, value, "its row's threshold")

    ours = system(method, f"{method}_probability")
    found = {
        row: measure_gaps(label, group, system(row, column), ours, ("f1", "auc"), draws=REPLICATES, seed=0)
        for row, column in OTHERS.items()
        if row in comparison.rows
    }
    return {
        "method": method,
        "level": LEVEL,
        "draws": REPLICATES,
        "independent": independent_groups(group),
        "against": {row: {metric: _numbers(gap) for metric, gap in gaps.items()} for row, gaps in found.items()},
    }


def _numbers(gap: Gap) -> dict[str, float | None]:
    found = gap.as_dict()
    sides = {"ours": found.pop("b"), "theirs": found.pop("a")}
    return {**sides, **found, "missed_below": gap.missed_below if gap.trusted else None}
