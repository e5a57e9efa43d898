"""A paired report in words: the sentence for the manager, the table for the statistician."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flipkd.evaluation.intervals import LEVEL, Metric
from flipkd.evaluation.paired import FEWEST_INDEPENDENT, Gap, PairedReport
from flipkd.shown import in_markdown

NAMES: dict[Metric, str] = {"f1": "F1", "accuracy": "accuracy", "ap": "AP", "auc": "AUC"}
SHORT: dict[Metric, str] = NAMES | {"accuracy": "acc."}
"""The names in tables."""
COLUMNS = ("", "A", "B", "B - A", f"{LEVEL:.0%} interval")
SLICE_COLUMNS = ("slice", "n", "matches", *COLUMNS, "p")


def verdict(report: PairedReport) -> str:
    """A few sentences: which is better in F1 and by how much, or what the test set could not show; then the others.

    F1 is named first because the thresholds are fitted for it. No system is called better where there are too
    few independent groups of pairs for an interval to be trusted.
    """
    a, b, gap = f"{report.a} (A)", f"{report.b} (B)", report.gaps["f1"]
    if report.independent < FEWEST_INDEPENDENT:
        return (
            f"This test set cannot tell {a} and {b} apart: its {report.n} pairs count as about "
            f"{report.independent:.0f} independent ones, since pairs that share a text speak together. Bring more "
            "pairs, of other texts."
        )
    if not report.differing:
        first = (
            f"{a} and {b} decide all {report.n} pairs alike; of pairs like these they hardly decide more than "
            f"{3 / report.independent:.1%} otherwise."
        )
    elif gap.interval.settled:
        ahead, behind = (b, a) if gap.interval.difference > 0 else (a, b)
        first = f"{ahead} is better than {behind} in F1 by {_by(gap)}."
    else:
        first = (
            f"This test set cannot tell {a} and {b} apart in F1: B - A is {_signed(gap.interval.difference)} points "
            f"({_range(gap)}). With {report.n} pairs a difference below about {100 * gap.missed_below:.1f} points "
            "would often not show."
        )
    return f"{first} {_others(report)}".rstrip()


def _others(report: PairedReport) -> str:
    """A sentence on each side that is ahead in metrics other than F1, and one on those that tell nothing."""
    of: dict[str, list[str]] = {"B": [], "A": [], "": []}
    for metric, gap in report.gaps.items():
        if metric == "f1" or (metric == "accuracy" and not report.differing):
            continue
        side = ("B" if gap.interval.difference > 0 else "A") if gap.interval.settled else ""
        of[side].append(f"{NAMES[metric]} by {_by(gap)}" if side else NAMES[metric])
    said = [f"{side} is ahead in {_listed(of[side])}." for side in ("B", "A") if of[side]]
    if of[""]:
        said.append(f"In {_listed(of[''])} they cannot be told apart.")
    return " ".join(said)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _by(gap: Gap) -> str:
    """How far the one that is ahead is ahead."""
    low, high = sorted(abs(end) for end in (gap.interval.low, gap.interval.high))
    return f"{100 * abs(gap.interval.difference):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _range(gap: Gap) -> str:
    return f"{_signed(gap.interval.low)} to {_signed(gap.interval.high)}" if gap.trusted else "–"


def metric_rows(report: PairedReport) -> list[list[str]]:
    """The lines of the main table, by `COLUMNS`; differences in points."""
    return [[SHORT[metric], *_cells(gap)] for metric, gap in report.gaps.items()]


def _cells(gap: Gap) -> list[str]:
    return [f"{gap.a:.3f}", f"{gap.b:.3f}", _signed(gap.interval.difference), _range(gap)]


def slice_rows(report: PairedReport) -> Iterator[tuple[str, list[list[str]]]]:
    """What was cut by, and the lines of its parts by `SLICE_COLUMNS`; a star marks parts too small to conclude from."""
    for by in dict.fromkeys(part.by for part in report.slices):
        lines = []
        for part in [part for part in report.slices if part.by == by]:
            first = [f"{part.name} *" if part.few else part.name, str(part.n), str(part.matches)]
            for metric, gap in part.gaps.items():
                p = f"{part.p:.3f}" if metric == "accuracy" else ""
                lines.append([*first, SHORT[metric], *_cells(gap), p])
                first = ["", "", ""]
        yield by, lines


def remarks(report: PairedReport) -> list[str]:
    """How the figures came about, and what to beware of, in sentences."""
    found = report.mcnemar
    said = [
        f"{report.n} pairs, {report.matches} of them matches; the two decide {report.differing} pairs otherwise. "
        f"Differences are in points (hundredths), with {LEVEL:.0%} intervals of a paired bootstrap over groups of "
        f"pairs that share a text: {report.draws} draws, seed {report.seed}.",
        f"McNemar's exact test of equal accuracy: A alone is right on {found.only_a} pairs, B alone on {found.only_b}, "
        f"p = {found.p:.3g}.",
    ]
    if report.slices:
        said.append(
            f"{len(report.slices)} slices were looked at: even between equal systems about one interval in twenty "
            "leaves out 0 by chance, so a slice is a question for the next test set, not a finding. Their p is that of "
            "McNemar's test, corrected for all slices by Holm's method."
        )
    if any(part.few for part in report.slices):
        said.append("A star (*) marks slices with too few pairs, or too few of a class, to conclude from.")
    return [*said, *(f"Warning: {warning}" for warning in report.warnings)]


def markdown(report: PairedReport) -> str:
    """The whole report as Markdown; ends with a newline. Names of systems and slices are anybody's words."""
    report = replace(
        report,
        a=in_markdown(report.a),
        b=in_markdown(report.b),
        slices=tuple(replace(part, by=in_markdown(part.by), name=in_markdown(part.name)) for part in report.slices),
        warnings=tuple(map(in_markdown, report.warnings)),
    )
    parts = [f"# {report.b} against {report.a}", verdict(report), f"A is {report.a}, B is {report.b}."]
    parts.append(_table(COLUMNS, metric_rows(report)))
    for by, lines in slice_rows(report):
        parts += [f"## By {by}", _table(SLICE_COLUMNS, lines)]
    parts.append("\n".join(f"- {remark}" for remark in remarks(report)))
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])
