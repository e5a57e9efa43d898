"""From a batch of cells to a table: texts checked, empty ones dealt with, labels parsed."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from flipkd.data.columns import Columns
from flipkd.data.identity import is_empty
from flipkd.data.labels import SHOWN, parse_labels
from flipkd.data.records import Batch
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

EmptyPolicy = Literal["fail", "drop", "keep"]
"""What to do with a pair that has an empty text: stop, leave it out and say how many, or let it be."""


def _texts(cells: Sequence[Any], places: Sequence[str], source: str, column: str) -> list[str]:
    """The cells as texts; a missing one as the empty text."""
    texts = []
    for place, cell in zip(places, cells, strict=True):
        if cell is not None and not isinstance(cell, str):
            raise FlipkdError(
                f"{source}, {place}: column {column!r} holds {cell!r}, which is no string. "
                "Put it in quotes (JSON) or cast the column to string (parquet)."
            )
        texts.append(cell or "")
    return texts


def as_written(cell: Any) -> str:
    """A cell of an extra column: a string as it is, anything else as JSON would write it."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, bool | int | float | list | dict):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def _empty_error(source: str, places: Sequence[str]) -> FlipkdError:
    more = f" and {len(places) - SHOWN} more close by" if len(places) > SHOWN else ""
    return FlipkdError(
        f"{source}: a text is empty or missing at {', '.join(places[:SHOWN])}{more}. An empty text matches "
        "any other empty text with certainty. Fill or remove these rows, or read with "
        "--empty drop."
    )


def build_chunk(
    batch: Batch, header: list[str], found: Columns, unit: str, source: str, empty: EmptyPolicy
) -> PairTable:
    """The table of one batch.

    Args:
        batch: The cells.
        header: The columns' names.
        found: Which column is which.
        unit: What the batch's places count, for errors.
        source: The file or data set.
        empty: What to do with pairs that have an empty text.

    Raises:
        FlipkdError: A text that is no string or is empty, or a cell that is no label.
    """
    places = [f"{unit} {place}" for place in batch.places]
    text_a, text_b = (_texts(batch.columns[at], places, source, header[at]) for at in (found.text_a, found.text_b))
    blank = [is_empty(a) or is_empty(b) for a, b in zip(text_a, text_b, strict=True)]
    if empty == "fail" and any(blank):
        raise _empty_error(source, [place for place, bare in zip(places, blank, strict=True) if bare])
    extra = {header[at]: [as_written(cell) for cell in batch.columns[at]] for at in found.extra}
    table = PairTable(text_a, text_b, None, source, batch.places, extra)
    kept = list(range(len(table)))
    if empty == "drop" and any(blank):
        kept = [row for row in kept if not blank[row]]
        table = table.select(kept)
    if found.label is None:
        return table
    cells = batch.columns[found.label]
    label = parse_labels([cells[row] for row in kept], [places[row] for row in kept], source, header[found.label])
    return PairTable(table.text_a, table.text_b, label, source, table.line, table.extra)
