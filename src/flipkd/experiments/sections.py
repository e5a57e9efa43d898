"""What the report says of one set: its tables, what they can show, what is not there."""

from collections.abc import Callable, Iterable, Sequence

from flipkd.evaluation.intervals import Interval, Metric
from flipkd.experiments.comparisons import ONE_MODEL, TWO_MODELS, SetResults

DASH = "–"
FIGURES = ("f1", "ap", "auc", "accuracy")
SHOWN: tuple[tuple[Metric, str], ...] = (
    ("f1", "fine_tuned_long"),
    ("ap", "fine_tuned_long"),
    ("f1", "fine_tuned"),
    ("ap", "fine_tuned"),
    ("f1", "teacher"),
    ("ap", "teacher"),
)
"""The differences of the second table."""
YARDSTICK = ("flipped_decoder", "fine_tuned_long")
"""Whose interval tells what a set can show."""
GAINERS = ("teacher", "flipped_decoder", "flipped_encoder", "flipped_answer", "no_teacher_answer", "zero_shot")
"""Whose AP is set against that of the longer fine-tuning, set beside set; the last two know no teacher."""
WORTH = (("no_teacher_answer", "flipped_answer"), ("flipped_teacher", "fine_tuned_teacher"))
"""What the teacher is worth: to learn from, and beside the flipped student against beside the fine-tuned one."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, all columns but the first to the right; no last newline."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(name: str) -> str:
    """A name in code type."""
    return f"`{name}`"


def listed(names: Iterable[object]) -> str:
    """Names with commas between; `none` if there is none."""
    return ", ".join(map(str, names)) or "none"


def set_section(each: SetResults) -> str:
    """The section of one set."""
    figures = ["method", "F1", "AP", "AUC", "accuracy", "seeds", "trainable", "core min.", "chosen on validation"]
    differences = ["method", *(f"{metric.upper()} to {code(reference)}" for metric, reference in SHOWN)]
    return "\n\n".join(
        [
            f"## {each.name}",
            _power(each),
            table(figures, _rows(each, len(figures), _figures)),
            table(differences, _rows(each, len(differences), _differences)),
            _missing(each),
        ]
    )


def gains_section(found: Sequence[SetResults]) -> list[str]:
    """Whether flipping gains where its teacher knows more than fine-tuning learns; nothing before two sets tell."""
    lead = {
        each.name: each.differences["ap", "teacher", YARDSTICK[1]].difference
        for each in found
        if ("ap", "teacher", YARDSTICK[1]) in each.differences
    }
    if len(lead) < 2:
        return []
    ordered = sorted((each for each in found if each.name in lead), key=lambda each: -lead[each.name])
    return [
        "## Where it gains",
        f"AP minus that of {code(YARDSTICK[1])}, in points, the set with the largest lead of the teacher first. No "
        "mark asks for it: it was looked at once the figures were there. One column falling like another is weak "
        f"evidence: all subtract the same runs of {code(YARDSTICK[1])}, whose luck moves them together, and student, "
        "language, adapted layers and learning rate change with the teacher. The last two columns know no "
        "teacher: what they share of the order is not its doing.",
        _across(ordered, list(map(code, GAINERS)), [("ap", method, YARDSTICK[1]) for method in GAINERS]),
    ]


def worth_section(found: Sequence[SetResults]) -> list[str]:
    """What the teacher is worth, and two models against two models: the differences behind the third and fifth mark."""
    columns: list[tuple[Metric, str, str]] = [(metric, *pair) for pair in WORTH for metric in ("f1", "ap")]
    if not any(column in each.differences for each in found for column in columns):
        return []
    return [
        "## What the teacher is worth",
        f"{code(WORTH[0][0])} minus {code(WORTH[0][1])}: below 0 the teacher and its further texts help. "
        f"{code(WORTH[1][0])} minus {code(WORTH[1][1])}: below 0 a fine-tuned student is the better companion of the "
        "teacher; both are +0.0 where validation chose the teacher alone for both.",
        _across(
            found, [f"{metric.upper()}, {code(method)} to {code(other)}" for metric, method, other in columns], columns
        ),
    ]


def _across(found: Iterable[SetResults], head: Sequence[str], columns: Sequence[tuple[Metric, str, str]]) -> str:
    """Differences set beside set: each column's metric, method and reference."""
    return table(
        ["set", *head],
        ([each.name, *(difference(each.differences.get(column)) for column in columns)] for each in found),
    )


def _rows(each: SetResults, width: int, line: Callable[[SetResults, str], list[str]]) -> list[list[str]]:
    """The rows of one model, of methods the table does not know, and below a line of their own of two models."""
    others = [method for method in each.cells if method not in ONE_MODEL + TWO_MODELS]
    rows = [[code(method), *line(each, method)] for method in (*ONE_MODEL, *others)]
    rows.append(["**two models at hand**", *[""] * (width - 1)])
    return rows + [[code(method), *line(each, method)] for method in TWO_MODELS]


def _figures(each: SetResults, method: str) -> list[str]:
    share, seconds = (each.over_seeds(method, figure) for figure in ("trainable", "seconds"))
    return [
        *(spread(each.over_seeds(method, figure)) for figure in FIGURES),
        str(len(each.cells[method])) if method in each.cells else DASH,
        f"{share[0]:.2%}" if share else DASH,
        f"{seconds[0] / 60:.1f}" if seconds else DASH,
        listed(each.notes(method)) if each.notes(method) else "",
    ]


def spread(found: tuple[float, float | None] | None) -> str:
    """Mean ± standard deviation, as `mean_sd` gives them; a dash for none."""
    if found is None:
        return DASH
    mean, deviation = found
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _differences(each: SetResults, method: str) -> list[str]:
    return [
        "itself" if method == reference and method in each.cells
        else difference(each.differences.get((metric, method, reference)))
        for metric, reference in SHOWN
    ]  # fmt: skip


def difference(interval: Interval | None) -> str:
    """Such as ``+1.2 [-0.5, +2.9]``, in points; a dash for none.

    Bold where the interval settles it, with a dagger where that no longer holds if the seeds are drawn, too.
    """
    if interval is None:
        return DASH
    middle, low, high = (
        f"{round(100 * end, 1) + 0.0:+.1f}" for end in (interval.difference, interval.low, interval.high)
    )
    shown = f"{middle} [{low}, {high}]"
    if not interval.settled:
        return shown
    return f"**{shown}**" if interval.settled_anew else f"**{shown}**†"


def _power(each: SetResults) -> str:
    """How wide the interval of F1 is: what a test set of this size can and cannot show."""
    pairs = [YARDSTICK, *((method, YARDSTICK[1]) for method in each.cells)]
    for method, reference in pairs:
        interval = each.differences.get(("f1", method, reference))
        if interval is not None:
            return (
                f"{each.rows:,} test rows: the interval of F1, {code(method)} minus {code(reference)}, is "
                f"± {100 * interval.half_width:.1f} points. A true difference of that size would have been told from "
                "none about every other time, one half as large again in five of six. Other methods have other widths."
            )
    return (
        f"{each.rows:,} test rows; what difference they could show is not known before {code(YARDSTICK[1])} is there."
    )


def _missing(each: SetResults) -> str:
    absent = [code(method) for method in ONE_MODEL + TWO_MODELS if method not in each.cells]
    fewer = [
        f"{code(method)} ({', '.join(map(str, by_seed))})"
        for method, by_seed in each.cells.items()
        if len(by_seed) < len(each.seeds)
    ]
    return (
        f"Methods without a cell: {listed(absent)}. "
        f"Methods with some of the seeds {listed(each.seeds)} alone: {listed(fewer)}."
    )
