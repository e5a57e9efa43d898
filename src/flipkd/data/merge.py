"""New labels go back into the file that the pairs came from (docs/how-to/errors.md)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flipkd.data.encoding import bare_name
from flipkd.data.reader import read_pairs
from flipkd.data.relabel import Relabelled
from flipkd.data.rewrite import rewrite
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.files import require_apart


@dataclass(frozen=True)
class Merged:
    """What a merge changed."""

    relabelled: dict[int, tuple[int, int]]
    """By line, the label that was and the label that is."""
    dropped: tuple[int, ...]
    """Lines of the pairs that were taken out."""
    confirmed: int
    """Pairs whose new label is the one they had."""
    elsewhere: int
    """Decisions on pairs of other files, which were left alone."""
    rows: int
    """Pairs in the new file."""


def merge(
    pairs: str,
    decided: Sequence[Relabelled],
    output: Path,
    *,
    columns: dict[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Merged:
    """Write a file of pairs anew with decisions on its labels; nothing else in it changes.

    A decision finds its pair by the two texts and the line together.

    Args:
        pairs: The file, of any format that `read_pairs` reads from disk.
        decided: The decisions; those whose source is another file are left alone.
        output: The file to write; replaced if it exists.
        columns: Of the file, as `read_pairs` takes them.
        encoding: Likewise.
        delimiter: Likewise.

    Raises:
        FlipkdError: If no decision is on this file, one does not fit the file as it is now, two contradict each other,
            or equal pairs would end up with different labels.
    """
    if not Path(pairs).is_file():
        raise FlipkdError(f"{pairs}: no such file.")
    if _form(pairs) != _form(str(output)):
        raise FlipkdError(f"{output} must end as {pairs} does: the format stays.")
    require_apart(output, pairs)  # so that the old labels stay at hand
    table = read_pairs(pairs, columns=columns, encoding=encoding, delimiter=delimiter, empty="keep")
    here = [each for each in decided if Path(each.source).resolve() == Path(pairs).resolve()]
    if not here:
        sources = ", ".join(sorted({each.source for each in decided}))
        raise FlipkdError(f"No new label is for a pair of {pairs}: they are for pairs of {sources}. Name that file.")
    changes = _changes(here, table)
    label = table.require_labels()
    now = {line: int(value) for line, value in zip(table.line, label, strict=True)}
    _refuse_contradictions(table, {**now, **changes}, changes)
    dropped = tuple(sorted(line for line, new in changes.items() if new is None))
    if len(dropped) == len(table):
        raise FlipkdError(f"{pairs}: every pair would be taken out.")
    relabelled = {
        line: (now[line], new) for line, new in sorted(changes.items()) if new is not None and new != now[line]
    }
    touched: dict[int, int | None] = {line: new for line, (_, new) in relabelled.items()}
    rewrite(pairs, output, touched | dict.fromkeys(dropped), columns, encoding, delimiter)
    confirmed = len(changes) - len(dropped) - len(relabelled)
    return Merged(relabelled, dropped, confirmed, len(decided) - len(here), len(table) - len(dropped))


def _form(path: str) -> tuple[str, str]:
    bare = bare_name(path)
    return path.lower().removeprefix(bare), Path(bare).suffix


def _changes(decided: Sequence[Relabelled], table: PairTable) -> dict[int, int | None]:
    """The decision on each line, every one checked against the file."""
    rows = {line: row for row, line in enumerate(table.line)}
    label = table.require_labels()
    first: dict[int, Relabelled] = {}
    for each in decided:
        row = rows.get(each.line)
        there = None if row is None else (table.text_a[row], table.text_b[row])
        # A spreadsheet writes one kind of line end, whatever stood in the cells.
        if row is None or [*map(_folded, there or ())] != [_folded(each.text_a), _folded(each.text_b)]:
            raise FlipkdError(
                f"{each.place}: this pair is not at line {each.line} of {table.source}. The file, or the texts in the "
                "list, have changed since it was written: list the errors again. If a spreadsheet saved the list in "
                "another encoding, name it: --relabelled-encoding (such as cp1252)."
            )
        if label[row] != each.label:
            raise FlipkdError(
                f"{each.place}: the pair was labelled {each.label} when it was listed, and is {label[row]} in "
                f"{table.source}, line {each.line}, now. List the errors again."
            )
        before = first.setdefault(each.line, each)
        if before.new_label != each.new_label:
            raise FlipkdError(
                f"{each.place} and {before.place} give line {each.line} of {table.source} different new labels. "
                "Decide on one."
            )
    return {line: each.new_label for line, each in first.items()}


def _folded(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _refuse_contradictions(table: PairTable, after: dict[int, int | None], changes: dict[int, int | None]) -> None:
    """Refuse to give equal pairs different labels."""
    touched = set(changes)
    by_texts: dict[tuple[str, str], list[int]] = defaultdict(list)
    for a, b, line in zip(table.text_a, table.text_b, table.line, strict=True):
        by_texts[a, b].append(line)
    for lines in by_texts.values():
        kept = {line: after[line] for line in lines if after[line] is not None}
        if len(set(kept.values())) > 1 and touched & set(lines):
            shown = ", ".join(f"line {line}: {label}" for line, label in kept.items())
            raise FlipkdError(
                f"{table.source}: the same pair would have different labels ({shown}). Give all of these lines one "
                "new_label, or drop some: a line that is not in the list can be added to it with the same columns."
            )
