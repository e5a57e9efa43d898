"""What every format yields: a header, and batches of columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal


@dataclass(frozen=True)
class Batch:
    """Some records that follow each other, column by column."""

    places: list[int]
    """The 1-based line where each record starts, or its row."""
    columns: list[list[Any]]
    """One list of cells a column, in the order of the header."""


@dataclass(frozen=True)
class Records:
    """An open file or data set."""

    header: list[str]
    """The names of the columns, as written."""
    batches: Iterator[Batch]
    """The records, some at a time, to be gone through once."""
    unit: Literal["line", "row"]
    """What the places of a batch count."""


def batched(rows: Iterable[tuple[int, Sequence[Any]]], chunk_rows: int) -> Iterator[Batch]:
    """Batches of at most `chunk_rows` records, from each record's place and cells."""
    rows = iter(rows)
    while chunk := list(islice(rows, chunk_rows)):
        yield Batch([place for place, _ in chunk], [list(cells) for cells in zip(*(c for _, c in chunk), strict=True)])
