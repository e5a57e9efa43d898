"""The picture of a run's log: each loss term, and the norm of each term's gradient.

Needs the extra ``plots`` (matplotlib).
"""

from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flipkd.errors import FlipkdError
from flipkd.evaluation.drawing import canvas, save, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORM = "_grad_norm"


def loss_curve(path: Path, records: Iterable[Mapping[str, Any]]) -> "Figure":
    """The loss and its terms over the steps, and beside it the gradient norm of each term.

    A term that drowns another is seen in the second panel, on a log scale: its line runs a decade above. A
    norm of exactly 0 has no place there and leaves a gap.

    Args:
        path: The PNG file.
        records: The training log in order. Records with a ``loss`` are drawn, by their ``step``. A term is
            any ``NAME`` with a ``NAME_grad_norm`` somewhere in the log. Where ``stage`` changes, or the step
            starts again, a new stage is set after the last one.

    Raises:
        FlipkdError: If the log holds no training record, or matplotlib is missing.
    """
    shown = [record for record in records if "loss" in record]
    if not shown:
        raise FlipkdError("The training log holds no record with a loss; there is nothing to draw.")
    stages = _stages(shown)
    terms = list(dict.fromkeys(key.removesuffix(NORM) for record in shown for key in record if key.endswith(NORM)))

    figure, (left, right) = canvas(columns=2, wide=6.5)
    for position, name in enumerate(["loss", *terms]):
        left.plot(*_line(stages, name), label=name, marker=".", **style(position))
    for position, name in enumerate(terms, start=1):
        right.plot(*_line(stages, name + NORM), label=name, marker=".", **style(position))
    if any(record.get(name + NORM, 0) > 0 for record in shown for name in terms):
        right.set_yscale("log", nonpositive="mask")
    left.set(title="Loss and its weighted terms", xlabel="step", ylabel="mean since the last record")
    right.set(title="Gradient of each term", xlabel="step", ylabel="norm over all trained weights")
    for axes in (left, right):
        axes.margins(y=0.12)
        for stage in stages if len(stages) > 1 else []:
            axes.axvline(stage.start, color="grey", linewidth=0.8)
            axes.text(
                stage.start,
                0.99,
                f" {stage.name}",
                transform=axes.get_xaxis_transform(),
                va="top",
                fontsize="small",
            )
        if axes.lines:
            axes.legend(fontsize="small")
    return save(figure, path)


class _Stage(NamedTuple):
    """One stage's records and where its step 0 stands on the axis of steps."""

    name: str
    start: float
    records: list[Mapping[str, Any]]


def _stages(records: list[Mapping[str, Any]]) -> list[_Stage]:
    """The records cut where the stage changes or the step starts again."""
    stages: list[_Stage] = []
    for record in records:
        name = record.get("stage", "")
        last = stages[-1] if stages else None
        if last is None or name != last.name or record["step"] < last.records[-1]["step"]:
            start = last.start + last.records[-1]["step"] if last else 0.0
            stages.append(_Stage(name, start, []))
        stages[-1].records.append(record)
    return stages


def _line(stages: list[_Stage], key: str) -> tuple[list[float], list[float]]:
    """The steps and values of the records that hold `key`, with a break after each stage."""
    points: list[tuple[float, float]] = []
    for stage in stages:
        points += [(stage.start + record["step"], record[key]) for record in stage.records if key in record]
        points.append((nan, nan))
    return [step for step, _ in points], [value for _, value in points]
