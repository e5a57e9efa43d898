"""The picture of the main table: F1 of every set and method, and what each is ahead of the longer fine-tuning.

Needs the extra ``plots`` (matplotlib).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipkd.evaluation.drawing import COLOURS, canvas, save
from flipkd.experiments.comparisons import ONE_MODEL, TWO_MODELS, SetResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = "fine_tuned_long"
METHODS = ONE_MODEL + TWO_MODELS
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")


def draw_results(path: Path, found: Sequence[SetResults]) -> "Figure":
    """A band of lines a set, a line a method: on the left F1, on the right its difference to `fine_tuned_long`.

    Whiskers are the standard deviation over seeds on the left, and the 95 % interval over test rows on the right;
    both panels share their lines. What is not there leaves its line empty.

    Args:
        path: The PNG file.
        found: What came out, the first set at the top.

    Raises:
        FlipkdError: If matplotlib is missing.
    """
    band = len(METHODS) + 1
    figure, (left, right) = canvas(columns=2, wide=5.5, high=1.6 + 1.7 * len(found))
    for position, method in enumerate(METHODS):
        lines = [number * band + position for number in range(len(found))]
        look: dict[str, Any] = {
            "color": COLOURS[position % len(COLOURS)], "marker": SHAPES[position], "markersize": 5,
            "linestyle": "none", "capsize": 2,
        }  # fmt: skip
        means = [(line, each.over_seeds(method, "f1")) for line, each in zip(lines, found, strict=True)]
        dots = [(line, mean[0], mean[1] or 0.0) for line, mean in means if mean is not None]
        if dots:
            y, x, deviation = zip(*dots, strict=True)
            left.errorbar(x, y, xerr=deviation, label=method, **look)
        intervals = [
            (line, each.differences.get(("f1", method, REFERENCE))) for line, each in zip(lines, found, strict=True)
        ]
        for line, interval in intervals:
            if interval is not None:
                ends = [100 * (interval.difference - interval.low), 100 * (interval.high - interval.difference)]
                right.errorbar(100 * interval.difference, line, xerr=[[ends[0]], [ends[1]]], **look)
    middles = [number * band + (len(METHODS) - 1) / 2 for number in range(len(found))]
    for axes in (left, right):
        axes.set_yticks(middles, [each.name for each in found])
        axes.set_ylim(len(found) * band - 1, -1)
        axes.grid(visible=False, axis="y")
        for number in range(1, len(found)):
            axes.axhline(number * band - 1, color="grey", linewidth=0.8)
    right.axvline(0, color="black", linewidth=0.8)
    left.set(title="F1 at the frozen threshold", xlabel="F1, mean and standard deviation over seeds", ylabel="set")
    right.set(title=f"Against {REFERENCE}", xlabel="points of F1, 95 % interval over test rows", ylabel="set")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    return save(figure, path)
