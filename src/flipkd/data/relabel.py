"""Lists of pairs for relabelling: written for a spreadsheet, read back with the new labels."""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flipkd.data.delimited import written_csv
from flipkd.data.labels import label_of
from flipkd.data.reader import read_pairs
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

COLUMNS = ("text_a", "text_b", "label", "new_label", "why", "source", "line")
"""Of a list, before its own: `read_pairs` reads it, and `new_label` is what a reader fills in."""
DROP = "drop"
"""The word in `new_label` that takes a pair out."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet may compute, perhaps behind the apostrophes of `_guarded`."""


@dataclass(frozen=True)
class Listed:
    """A pair that somebody should look at."""

    text_a: str
    text_b: str
    label: int
    """As it is now."""
    source: str
    """The file it comes from, as the user named it."""
    line: int
    """The line where it starts, or the row of a parquet file."""
    why: str
    """Why it is listed, in words."""
    further: dict[str, str] = field(default_factory=dict)
    """Columns of the list's own; the same names for all pairs of a list."""


@dataclass(frozen=True)
class Relabelled:
    """A pair with a decision on its label."""

    text_a: str
    text_b: str
    label: int
    """When it was listed."""
    new_label: int | None
    """The label it is to have; None to take it out."""
    source: str
    line: int
    place: str
    """Where the decision stands, for errors."""


def listed(table: PairTable, row: int, why: str, further: dict[str, str]) -> Listed:
    """A row of a labelled table, to be listed."""
    label = int(table.require_labels()[row])
    return Listed(table.text_a[row], table.text_b[row], label, table.source, table.line[row], why, further)


def write_list(path: Path, pairs: Sequence[Listed]) -> None:
    """Write a list as CSV, whole or not at all.

    It is fit for a spreadsheet: with a byte-order mark, without which some take UTF-8 for another encoding, and with an
    apostrophe before each text that would be taken for a formula; `read_relabelled` takes that away.

    Args:
        path: The file; replaced if it exists.
        pairs: At least one.
    """
    with written_csv(path, encoding="utf-8-sig") as writer:
        writer.writerow([*COLUMNS, *pairs[0].further])
        for pair in pairs:
            text_a, text_b, why, source = map(_guarded, (pair.text_a, pair.text_b, pair.why, pair.source))
            writer.writerow([text_a, text_b, pair.label, "", why, source, pair.line, *pair.further.values()])


def _guarded(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _bare(text: str) -> str:
    """The text that `_guarded` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def read_relabelled(path: Path, encoding: str | None = None) -> list[Relabelled]:
    """The pairs of a list, or of every CSV in a folder of lists, whose `new_label` is filled in.

    Args:
        path: What `write_list` wrote, with new labels, or the folder.
        encoding: The files' encoding, where it is not found by itself; not of those with the mark of UTF-8, which
            `write_list` gives and no spreadsheet has saved anew.

    Raises:
        FlipkdError: If it is no such list, no new label is filled in, or one is neither a label nor `drop`.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FlipkdError(f"{path}: no list of pairs. Give a CSV that flipkd errors wrote, or its --output folder.")
    found = [pair for file in files for pair in _decided(str(file), encoding)]
    if not found:
        raise FlipkdError(f"{path}: no new label in it. Fill the column new_label with 0, 1 or {DROP}.")
    return found


def _decided(file: str, encoding: str | None) -> list[Relabelled]:
    names = {name: name for name in ("text_a", "text_b", "label")}
    with Path(file).open("rb") as stream:
        encoding = None if stream.read(3) == BOM_UTF8 else encoding
    table = read_pairs(file, columns=names, encoding=encoding, delimiter=_delimiter(file), empty="keep")
    missing = [name for name in ("new_label", "source", "line") if name not in table.extra]
    if missing:
        raise FlipkdError(f"{file} has no column {missing[0]!r}: it is no list that flipkd errors wrote.")
    label, found = table.require_labels(), []
    for row, cell in enumerate(table.extra["new_label"]):
        word, place = cell.strip(), f"{file}, line {table.line[row]}"
        if not word:
            continue
        new, line = label_of(word), table.extra["line"][row].strip()
        if new is None and word.casefold() != DROP:
            raise FlipkdError(f"{place}: new_label is {cell!r}. It must be a label, such as 0 or 1, or {DROP}.")
        if not line.isdecimal():
            raise FlipkdError(f"{place}: line is {line!r}, which is no line number. Leave that column as it was.")
        source, text_a, text_b = map(_bare, (table.extra["source"][row], table.text_a[row], table.text_b[row]))
        found.append(Relabelled(text_a, text_b, int(label[row]), new, source, int(line), place))
    return found


def _delimiter(file: str) -> str | None:
    """What parts the cells of a list: a spreadsheet writes a semicolon or a tab in some countries."""
    if not file.endswith(".csv"):
        return None
    with Path(file).open("rb") as stream:
        head = stream.readline().replace(b"\0", b"").rstrip()
    parted = (by for by in (",", ";", "\t") if b"text_b" in [cell.strip(b'"') for cell in head.split(by.encode())])
    return next(parted, None)
