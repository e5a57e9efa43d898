"""Pairs and texts from files and data sets. Columns go by name, cells stay the strings they are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from flipkd.console import announce, warn
from flipkd.data.chunks import EmptyPolicy, build_chunk
from flipkd.data.columns import find_columns
from flipkd.data.delimited import delimited_records, delimiter_of
from flipkd.data.encoding import bare_name, lines_of, open_text
from flipkd.data.hub import hub_records
from flipkd.data.identity import is_empty
from flipkd.data.jsonl import jsonl_records
from flipkd.data.parquet import parquet_records
from flipkd.data.records import Records
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Endings of the files that hold pairs; all but the last may have ``.gz`` or ``.zst`` after them."""
OF_FILES = (*ENDINGS, ".json", ".log", ".ods", ".txt", ".xls", ".xlsx", ".zip")
"""Endings of names that are no data set's, so that a file that is not there is not looked for on the hub."""


def _ending(path: str) -> str:
    return Path(bare_name(path)).suffix


def open_records(
    path: str,
    encoding: str | None = None,
    chunk_rows: int = 2048,
    columns: dict[str, str] | None = None,
    delimiter: str | None = None,
) -> AbstractContextManager[Records]:
    """Open a file or data set as records, whatever its columns; arguments and errors as for `iter_pairs`."""
    if chunk_rows < 1:
        raise FlipkdError(f"Rows are read at least one at a time; {chunk_rows} were asked for.")
    file, ending = Path(path), _ending(path)
    if not file.exists() and ending in OF_FILES:
        raise FlipkdError(f"{path!r} is neither a file nor a data set that could be loaded (no such file).")
    character = delimiter_of(path, delimiter)
    if not file.exists():
        return hub_records(path, chunk_rows)
    if not file.is_file():
        raise FlipkdError(f"{path} is no file. Name a file in it, ending in one of {', '.join(ENDINGS)}.")
    if ending in (".csv", ".tsv"):
        return delimited_records(path, encoding, chunk_rows, delimiter=character, named=list((columns or {}).values()))
    if ending in (".jsonl", ".ndjson"):
        return jsonl_records(path, encoding, chunk_rows)
    if path.lower().endswith(".parquet"):
        return parquet_records(path, chunk_rows)
    raise FlipkdError(f"{path}: pairs are read from {', '.join(ENDINGS)} (the text ones also with .gz or .zst).")


def iter_pairs(
    path: str,
    *,
    labelled: bool = False,
    columns: dict[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    empty: EmptyPolicy = "fail",
    chunk_rows: int = 2048,
) -> Iterator[PairTable]:
    """Read pairs in chunks, in memory that does not grow with the file.

    Nothing is opened before the first chunk is asked for.

    Args:
        path: A file, its format by its ending (.csv, .tsv, .jsonl, .ndjson, each also as .gz or .zst, .parquet).
            What does not exist and has no ending of a file (`OF_FILES`) is a data set of the hub: ``owner/name``,
            ``name/configuration``, with ``:split`` at the end where that is not train.
        labelled: Whether labels are needed. If not, a label column is kept in `extra` and not parsed.
        columns: The names of the columns for ``text_a`` and ``text_b`` (both or none) and ``label``. What is
            left out is found by name, whatever the order of the columns. Of a CSV or TSV without a header, numbers:
            1 for the first column.
        encoding: The encoding of a text file. None: UTF-8, UTF-16 by its byte-order mark, or GB18030.
        delimiter: The one character between the cells of a CSV or TSV. None: a comma or a tab, by the ending.
        empty: What to do with pairs of which a text shows no character, or is missing.
        chunk_rows: Pairs in a chunk at most.

    Yields:
        Tables of at least one pair, with the same extra columns each.

    Raises:
        FlipkdError: The file or data set can't be read, a column can't be told, a record is malformed, a cell
            is no text or no label, or there are no pairs in it; with file, line or row, and the mend.
    """
    rows = dropped = 0
    with open_records(path, encoding, chunk_rows, columns, delimiter) as records:
        found = find_columns(records.header, columns, labelled=labelled, source=path)
        announce("columns", found.describe(records.header), path)
        for batch in records.batches:
            table = build_chunk(batch, records.header, found, records.unit, path, empty)
            rows += len(table)
            dropped += len(batch.places) - len(table)
            if len(table):
                yield table
    if dropped:
        warn(f"{path}: {dropped} of {rows + dropped} pairs left out, because a text is empty or missing.")
    if not rows:
        raise FlipkdError(f"{path}: no pairs in it{' but those left out' if dropped else ', only column names'}.")


def read_pairs(
    path: str,
    *,
    labelled: bool = True,
    columns: dict[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    empty: EmptyPolicy = "fail",
) -> PairTable:
    """Read all pairs of a file or data set.

    Args:
        path: As for `iter_pairs`, of which this is all chunks in one.
        labelled: Whether labels are needed.
        columns: As for `iter_pairs`.
        encoding: As for `iter_pairs`.
        delimiter: As for `iter_pairs`.
        empty: As for `iter_pairs`.

    Raises:
        FlipkdError: As `iter_pairs`.

    Example:
        ```python
        pairs = read_pairs("pairs.csv")
        pairs = read_pairs("pairs.tsv.gz", columns={"text_a": "asked", "text_b": "known", "label": "same"})
        ```
    """
    chunks = list(
        iter_pairs(path, labelled=labelled, columns=columns, encoding=encoding, delimiter=delimiter, empty=empty)
    )
    return PairTable(
        text_a=[text for chunk in chunks for text in chunk.text_a],
        text_b=[text for chunk in chunks for text in chunk.text_b],
        label=np.concatenate([chunk.require_labels() for chunk in chunks]) if labelled else None,
        source=path,
        line=[line for chunk in chunks for line in chunk.line],
        extra={name: [cell for chunk in chunks for cell in chunk.extra[name]] for name in chunks[0].extra},
    )


def read_texts(path: str, *, encoding: str | None = None) -> list[str]:
    """Read texts, one a line; lines that show no character are passed over.

    Args:
        path: A text file, packed (.gz, .zst) or not.
        encoding: As for `iter_pairs`.

    Raises:
        FlipkdError: No such file, a table instead of lines, or no text in it.
    """
    if not Path(path).is_file():
        raise FlipkdError(f"{path}: no such file. It must hold one text a line.")
    if _ending(path) in (*ENDINGS, ".json"):
        raise FlipkdError(f"{path}: a table. Texts come one a line: put its texts in a .txt file.")
    with open_text(path, encoding, newline="\n") as stream:
        lines = (line.removesuffix("\n").removesuffix("\r") for line in lines_of(stream, path))
        texts = [line for line in lines if not is_empty(line)]
    if not texts:
        raise FlipkdError(f"{path}: no text in it. It must hold one text a line.")
    records = [text for text in texts if "\t" in text or text.lstrip()[0] in "{["]
    if 2 * len(records) > len(texts):
        warn(f"{path}: each line is read as one text, but most seem to be records, such as {records[0][:80]!r}.")
    return texts
