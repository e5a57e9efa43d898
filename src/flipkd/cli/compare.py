"""`flipkd compare`: is B really better than A?"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.evaluation.paired import PairedReport


@dataclass
class Options:
    """Compare two systems on the same labelled pairs: intervals of the differences, a test, slices, a sentence."""

    a: str = field(default="", metadata={"first_word": True})
    """The first system, what there is: an artefact's folder, or a file of answers to the test pairs, such as an
    artefact's evaluation/predictions.parquet, the output of flipkd match or an export of another system. May stand
    as the first word, without its name."""
    b: str = field(default="", metadata={"first_word": True})
    """The second, what is to replace it; may stand as the second word."""
    test: str = ""
    """The labelled pairs both are measured on."""
    by: str | None = None
    """A further column of the test file to cut slices by; several with commas between them."""
    output: str | None = None
    """A JSON file for the whole report."""
    markdown: str | None = None
    """A Markdown file for the whole report."""
    value_a: str | None = None
    """Where A is a file: its column of values, such as probabilities, if it is not called probability."""
    value_b: str | None = None
    """Likewise of B."""
    threshold_a: float | None = None
    """Where A is a file without a column match: the threshold of its values, chosen on other pairs than the test's."""
    threshold_b: float | None = None
    """Likewise of B."""
    draws: int = 2000
    """Replicates of the bootstrap."""
    seed: int = 0
    """Of the draws."""
    columns: dict[str, str] | None = None
    """Column names of the test file where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The test file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the test file, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Print the verdict and the tables to standard output, and write the files asked for."""
    from flipkd.console import announce
    from flipkd.data.reader import read_pairs
    from flipkd.data.splits import text_groups
    from flipkd.evaluation.paired import compare_systems
    from flipkd.evaluation.slices import slices_of
    from flipkd.evaluation.verdict import markdown, verdict
    from flipkd.files import require_apart, require_no_folder, write_whole
    from flipkd.matching.systems import read_system

    for name in ("a", "b", "test"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing. flipkd compare A B --test FILE")
    if options.draws < 100:
        raise FlipkdError(f"--draws {options.draws} are too few for an interval: at least 100.")
    if options.seed < 0:
        raise FlipkdError(f"--seed is {options.seed}; it must not be negative.")
    for name, threshold in (("a", options.threshold_a), ("b", options.threshold_b)):
        if threshold is not None and not math.isfinite(threshold):
            raise FlipkdError(f"--threshold-{name} is {threshold}; it must be a number.")
    require_no_folder(options.output, options.markdown)
    require_apart(options.output, options.test, options.a, options.b)
    require_apart(options.markdown, options.test, options.a, options.b)
    require_apart(options.markdown, options.output, why="--output names")
    test = read_pairs(
        options.test,
        columns=options.columns,
        encoding=options.encoding,
        delimiter=options.delimiter,
        empty=options.empty,
    )
    label = test.require_labels()
    parts = slices_of(test, [name.strip() for name in options.by.split(",")] if options.by else ())
    sides = {
        "A": (options.a, options.value_a, options.threshold_a),
        "B": (options.b, options.value_b, options.threshold_b),
    }
    # Artefacts last: what is wrong with a path or a file is known before one answers.
    systems = {
        name: read_system(
            path, test, value=value, threshold=threshold, device=options.device, cache_dir=options.cache_dir
        )
        for name, (path, value, threshold) in sorted(sides.items(), key=lambda side: Path(side[1][0]).is_dir())
    }
    a, b = systems["A"], systems["B"]
    for name, system in (("A", a), ("B", b)):
        announce(name, system.name, f"decides by {system.origin}")
    group = text_groups(test.text_a, test.text_b)
    report = compare_systems(label, group, a, b, parts, draws=options.draws, seed=options.seed)
    _print(report)
    if options.output is not None:
        found = {"verdict": verdict(report), "test": {"source": test.source, "digest": test.digest()}}
        write_whole(Path(options.output), json.dumps(found | report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    if options.markdown is not None:
        write_whole(Path(options.markdown), markdown(report))


def _print(report: "PairedReport") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from flipkd.evaluation.verdict import COLUMNS, SLICE_COLUMNS, metric_rows, remarks, slice_rows, verdict
    from flipkd.shown import in_terminal

    console = Console(highlight=False, emoji=False)

    def show(title: str, header: tuple[str, ...], lines: list[list[str]]) -> None:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=in_terminal(title), title_justify="left")
        table.add_column(header[0], overflow="fold")
        for name in header[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for line in lines:
            table.add_row(*map(in_terminal, line))
        console.print(table)

    console.print(in_terminal(verdict(report)), soft_wrap=True)
    show("", COLUMNS, metric_rows(report))
    for by, lines in slice_rows(report):
        show(f"by {by}", SLICE_COLUMNS, lines)
    for remark in remarks(report):
        console.print(in_terminal(remark), soft_wrap=True)
