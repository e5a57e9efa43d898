"""`flipkd errors`: what to look at, listed for relabelling."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.data.relabel import Listed
    from flipkd.data.table import PairTable

SHOWN = 5
"""How many pairs of each list are printed."""


@dataclass
class Options:
    """List the worst confident mistakes, likely label noise, and pairs that splits have in common."""

    model: str = ""
    """The artefact whose answers are looked at. Without --pairs: those its run kept of its test pairs, or of validation
    where there was no test file."""
    pairs: str | None = None
    """A labelled file to answer now, such as the training pairs. The teacher is asked only if the artefact keeps it."""
    train: str | None = None
    """With another split: the training pairs, to find what the two have in common."""
    validation: str | None = None
    """Likewise the validation pairs."""
    test: str | None = None
    """Likewise the test pairs."""
    output: str | None = None
    """A folder for mistakes.csv, label_noise.csv and leaks.csv, to fill in new_label and give to flipkd data merge."""
    overwrite: bool = False
    """Replace lists that are in the folder already, with whatever was filled in."""
    top: int = 50
    """The most pairs of a list; of leaks, for each two splits."""
    sure: float = 0.8
    """The probability from which the student counts as sure of a match, and 1 - it that of none, in label noise."""
    near: float = 0.8
    """The overlap (Jaccard, of three-character pieces) from which two texts count as near-duplicates."""
    columns: dict[str, str] | None = None
    """Column names of the files where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The files' encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the files, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Print the head of each list to standard output, and write the lists."""
    from flipkd.console import announce
    from flipkd.data.relabel import write_list

    splits = {name: getattr(options, name) for name in ("train", "validation", "test") if getattr(options, name)}
    _check(options, splits)
    folder = None if options.output is None else Path(options.output)
    files = {} if folder is None else {name: folder / f"{name}.csv" for name in ("mistakes", "label_noise", "leaks")}
    there = [file for file in files.values() if file.exists()]
    if there and not options.overwrite:
        raise FlipkdError(f"{there[0]} is already there. Choose another --output, or --overwrite it.")

    # All are read before a model answers any.
    tables = {name: _read(options, file) for name, file in splits.items()}
    lists = _of_answers(options) if options.model else {}
    if tables:
        lists["leaks"] = _leaks(options, tables)
    for name, pairs in lists.items():
        if name in files and pairs:
            write_list(files[name], pairs)
            announce("written", files[name], "fill in new_label (0, 1 or drop); flipkd data merge takes it back")
        _show(name, pairs)
    for name, file in files.items():
        if file in there and not lists.get(name):
            # Its new labels would be merged with those of today's lists.
            file.unlink()
            announce("removed", file, "an earlier list; nothing is listed there now")


def _check(options: Options, splits: dict[str, str]) -> None:
    """Refuse what could not be done before anything is."""
    if not options.model and len(splits) < 2:
        raise FlipkdError("Give --model, or two of --train, --validation and --test to find what they have in common.")
    if options.pairs and not options.model:
        raise FlipkdError("--pairs are answered by --model, which is missing.")
    if len(splits) == 1:
        raise FlipkdError(f"--{next(iter(splits))} alone has nothing in common with another split: give a second one.")
    if options.top < 1:
        raise FlipkdError(f"--top must be at least 1; it is {options.top}.")
    if not 0 < options.near <= 1:
        raise FlipkdError(f"--near must lie above 0 and up to 1; it is {options.near}.")
    if not 0.5 < options.sure < 1:
        raise FlipkdError(f"--sure must lie between 0.5 and 1; it is {options.sure}.")


def _of_answers(options: Options) -> "dict[str, list[Listed]]":
    """The two lists about a model's answers; no label noise where there is no teacher."""
    from flipkd.console import announce
    from flipkd.evaluation.mistakes import likely_label_noise, worst_mistakes
    from flipkd.matching.answered import answers_of, describe_mistakes, describe_noise

    pairs = None
    if options.pairs is not None:
        pairs = _read(options, options.pairs)
    found = answers_of(Path(options.model).expanduser(), pairs, device=options.device, cache_dir=options.cache_dir)
    label = found.table.require_labels()
    wrong = worst_mistakes(label, found.probability, found.match, found.review)
    announce("mistakes", f"{len(wrong)} of {len(label)} pairs", f"the worst {options.top} are listed")
    lists = {"mistakes": describe_mistakes(found, wrong[: options.top].tolist())}
    if found.teacher is None:
        announce("label noise", "not looked for", "the artefact keeps no teacher (--keep-teacher) that could be asked")
        return lists
    noise = likely_label_noise(
        label, found.probability, found.teacher, tau_p=found.tau_p, tau_n=found.tau_n, sure=options.sure
    )
    announce("label noise", f"{len(noise)} of {len(label)} pairs", "teacher and student are sure of the other label")
    lists["label_noise"] = describe_noise(found, noise[: options.top].tolist())
    return lists


def _read(options: Options, file: str) -> "PairTable":
    from flipkd.data.reader import read_pairs

    return read_pairs(
        file,
        columns=options.columns,
        encoding=options.encoding,
        delimiter=options.delimiter,
        empty=options.empty,
    )


def _leaks(options: Options, tables: "dict[str, PairTable]") -> "list[Listed]":
    from itertools import combinations, count

    from flipkd.console import announce
    from flipkd.data.leaks import KINDS, describe_leak, find_leaks
    from flipkd.data.report import check

    lists, number = [], count(1)
    for earlier, later in combinations(tables, 2):
        one, other = tables[later], tables[earlier]
        leaks = find_leaks(one, other, options.near)
        counts = ", ".join(f"{sum(leak.kind == kind for leak in leaks)} {kind}s" for kind in KINDS)
        against = sum(leak.contradicts for leak in leaks if leak.kind in KINDS[:2])
        shared = check(one, {earlier: other}, None, None).shared[earlier]
        announce(
            f"{later} against {earlier}",
            counts,
            f"{against} of the same or swapped ones contradict; {shared.rows} of {len(one)} pairs share a text",
        )
        for leak in leaks[: options.top]:
            lists += describe_leak(one, other, leak, next(number))
    return lists


def _show(name: str, pairs: "list[Listed]") -> None:
    from rich.console import Console

    from flipkd.shown import in_terminal

    console = Console(highlight=False, emoji=False)
    console.print(f"[bold]{name.replace('_', ' ')}[/bold]: {len(pairs) or 'none'} listed")
    for pair in pairs[:SHOWN]:
        shown = (f"  {pair.source}, line {pair.line}: {pair.why}", f"    a: {pair.text_a}", f"    b: {pair.text_b}")
        for line in shown:
            console.print(in_terminal(line), soft_wrap=True)
    if len(pairs) > SHOWN:
        console.print(f"  and {len(pairs) - SHOWN} more")
