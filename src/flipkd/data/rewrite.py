"""The same file with some labels changed and some records left out; every other byte of text stays."""

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from flipkd.data.columns import find_columns
from flipkd.data.delimited import delimiter_of, numbered
from flipkd.data.encoding import LONGEST, bare_name, choose_encoding, open_bytes, open_text, packed
from flipkd.data.labels import label_of
from flipkd.files import written_whole

Changes = Mapping[int, int | None]
"""By the line (the row of a parquet file) of a record, its new label; None to leave it out."""


@dataclass(frozen=True)
class _Record:
    """A record of a text file."""

    line: int
    raw: str
    """As it stands in the file, with its line end."""
    label: Any
    """The cell of its label; None in a header and in a blank line."""
    with_label: Callable[[Any], str]
    """The record with another cell in its place."""


def rewrite(
    path: str,
    output: Path,
    changes: Changes,
    columns: dict[str, str] | None,
    encoding: str | None,
    delimiter: str | None,
) -> None:
    """Write a file of pairs anew, in its own format and encoding, whole or not at all.

    A new label is spelled as the file spells that label elsewhere. Records without a change are copied as they stand.

    Args:
        path: A file that `read_pairs` has read with these columns and this encoding.
        output: The file to write, of the same ending.
        changes: What changes.
        columns: Names of columns, as `read_pairs` takes them.
        encoding: Likewise.
        delimiter: Likewise.
    """
    with written_whole(output) as partial:
        if path.lower().endswith(".parquet"):
            _rewrite_parquet(path, partial, changes, columns)
        else:
            partial.write_bytes(_rewritten(path, changes, columns, encoding, delimiter))


def _spelling(cells: Iterator[Any]) -> dict[int, Any]:
    """How the file writes 0 and 1: as in the first cell of each; one that is nowhere in the type of the other."""
    found: dict[int, Any] = {}
    for cell in cells:
        label = label_of(cell)
        if label is not None:
            found.setdefault(label, cell)
    for label in (0, 1):
        if label not in found:
            found[label] = type(found[1 - label])(label)
    return found


def _rewritten(
    path: str, changes: Changes, columns: dict[str, str] | None, encoding: str | None, delimiter: str | None
) -> bytes:
    ending = Path(bare_name(path)).suffix
    # Lines end as the readers let them end: at every line end in CSV, at \n alone elsewhere.
    with open_text(path, encoding, newline="" if ending == ".csv" else "\n") as stream:
        if delimited := {".csv": _csv_records, ".tsv": _tsv_records}.get(ending):
            records = list(delimited(stream, path, columns, delimiter_of(path, delimiter)))
        else:
            records = list(_json_records(stream, path, columns))
    spelled = _spelling(record.label for record in records)
    kept = []
    for record in records:
        new = changes.get(record.line, record)
        if new is record:
            kept.append(record.raw)
        elif new is not None:
            kept.append(record.with_label(spelled[new]))  # type: ignore[index]
    data = _mark(path) + "".join(kept).removeprefix("\ufeff").encode(_codec(path, encoding))
    return packed(path, data)


# UTF-32 first: its little-endian mark begins as that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be", codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be",
}  # fmt: skip


def _mark(path: str) -> bytes:
    """The byte-order mark the file begins with, or nothing."""
    with open_bytes(path) as stream:
        first = stream.read(4)
    return next((mark for mark in MARKS if first.startswith(mark)), b"")


def _codec(path: str, encoding: str | None) -> str:
    """What to encode with behind the mark."""
    return MARKS.get(_mark(path)) or choose_encoding(path, encoding).removesuffix("-sig")


def _line_end(raw: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if raw.endswith(end)), "")


def _delimited(
    records: Iterator[tuple[int, str, list[str]]],
    write: Callable[[list[str]], str],
    path: str,
    columns: dict[str, str] | None,
) -> Iterator[_Record]:
    at: int | None = None
    for line, raw, cells in records:
        header = False
        if cells and at is None:
            names = numbered(cells, list((columns or {}).values()))
            at = find_columns(names or cells, columns, labelled=True, source=path).label
            header = names is None
        if not cells or header or at is None:
            yield _Record(line, raw, None, str)
            continue

        def with_label(cell: Any, raw: str = raw, cells: list[str] = cells, at: int = at) -> str:
            return write([*cells[:at], cell, *cells[at + 1 :]]) + _line_end(raw)

        yield _Record(line, raw, cells[at], with_label)


def _csv_records(stream: IO[str], path: str, columns: dict[str, str] | None, delimiter: str) -> Iterator[_Record]:
    def records() -> Iterator[tuple[int, str, list[str]]]:
        taken: list[str] = []
        csv.field_size_limit(LONGEST)
        lines = (taken.append(line) or line for line in stream)  # type: ignore[func-returns-value]
        reader = csv.reader(lines, strict=True, delimiter=delimiter)
        start = 1
        for cells in reader:
            yield start, "".join(taken), cells
            taken.clear()
            start = reader.line_num + 1

    def write(cells: list[str]) -> str:
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter).writerow(cells)
        return line.getvalue().removesuffix("\r\n")

    return _delimited(records(), write, path, columns)


def _tsv_records(stream: IO[str], path: str, columns: dict[str, str] | None, delimiter: str) -> Iterator[_Record]:
    def records() -> Iterator[tuple[int, str, list[str]]]:
        for line, raw in enumerate(stream, start=1):
            bare = raw.removesuffix("\n").removesuffix("\r")
            yield line, raw, bare.split(delimiter) if bare else []

    return _delimited(records(), delimiter.join, path, columns)


def _json_records(stream: IO[str], path: str, columns: dict[str, str] | None) -> Iterator[_Record]:
    lines = [(line, raw, {} if raw.isspace() else json.loads(raw)) for line, raw in enumerate(stream, start=1)]
    header = list(dict.fromkeys(key for _, _, record in lines for key in record))
    at = find_columns(header, columns, labelled=True, source=path).label
    assert at is not None  # labelled
    name = header[at]
    for line, raw, record in lines:

        def with_label(cell: Any, raw: str = raw) -> str:
            # Numbers go through as they are spelled: 1.10 is not to become 1.1, nor 1e400 infinite.
            kept = json.loads(raw, parse_float=_spelled, parse_int=_spelled)
            return _SPELLED.sub(r"\1", json.dumps(kept | {name: cell}, ensure_ascii=raw.isascii())) + _line_end(raw)

        yield _Record(line, raw, record.get(name), with_label)


_TOKEN = uuid4().hex
_SPELLED = re.compile(f'"{_TOKEN} (.*?)"')


def _spelled(number: str) -> str:
    return f"{_TOKEN} {number}"


def _rewrite_parquet(path: str, output: Path, changes: Changes, columns: dict[str, str] | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    at = find_columns(table.column_names, columns, labelled=True, source=path).label
    assert at is not None  # labelled
    cells, field = table.column(at).to_pylist(), table.schema.field(at)
    spelled = _spelling(iter(cells))
    for row, new in changes.items():
        if new is not None:
            cells[row - 1] = spelled[new]
    kept = [row for row in range(len(cells)) if changes.get(row + 1, row) is not None]
    pq.write_table(table.set_column(at, field, pa.array(cells, type=field.type)).take(kept), output)
