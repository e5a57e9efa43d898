"""What was answered for each pair, as a parquet file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

PREDICTIONS = Path("evaluation") / "predictions.parquet"
"""Where an artefact keeps what it answered."""


def answer_column(sources: Sequence[str]) -> str:
    """The column of an artefact's predictions that holds its own answer's probability.

    Args:
        sources: The signals that the answer uses, see `flipkd.evaluation.answer.Answer`.
    """
    return f"{'flipped_teacher' if 'teacher' in sources else 'flipped_answer'}_probability"


def numbers(table: PairTable, column: str) -> NDArray[np.float64]:
    """A further column of a file as numbers.

    Args:
        table: The pairs.
        column: A key of its `extra`.

    Returns:
        (n,) float64, all finite.

    Raises:
        FlipkdError: If there is no such column, or a cell is no finite number; with file and line.
    """
    if column not in table.extra:
        there = ", ".join(repr(name) for name in table.extra) or "none"
        raise FlipkdError(f"{table.source} has no column {column!r}. Its further columns are: {there}.")
    found = np.empty(len(table))
    for row, cell in enumerate(table.extra[column]):
        try:
            found[row] = float(cell)
        except ValueError:
            found[row] = np.nan
        if not np.isfinite(found[row]):
            raise FlipkdError(
                f"{table.source}, line {table.line[row]}: column {column!r} holds {cell!r}, which is no finite number."
            )
    return found


def kinds(match: NDArray[np.bool_], label: NDArray[np.int64]) -> list[str]:
    """Per pair ``tp``, ``fp``, ``tn`` or ``fn``.

    Args:
        match: (n,) bool, what was decided.
        label: (n,) 0 or 1, what is true.
    """
    names = ("tn", "fn", "fp", "tp")
    return [names[cell] for cell in (2 * match.astype(int) + label).tolist()]


def write_predictions(
    path: Path, table: PairTable, columns: Mapping[str, ArrayLike], match: NDArray[np.bool_] | None = None
) -> None:
    """Write one row per pair, in the order of the table and with its duplicates.

    Columns: text_a, text_b, label (null without labels), each of `columns` under its name, then match and,
    where there are labels, kind.

    Args:
        path: The parquet file; replaced if it exists.
        table: The pairs.
        columns: (n,) numbers by column name, such as probability and similarity.
        match: (n,) bool, what was decided.

    Raises:
        ValueError: If a column is shorter or longer than the table (pyarrow's own error).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    label = pa.nulls(len(table), pa.int64()) if table.label is None else pa.array(table.label)
    data = {
        "text_a": pa.array(table.text_a, pa.string()),
        "text_b": pa.array(table.text_b, pa.string()),
        "label": label,
        **{name: pa.array(np.asarray(values)) for name, values in columns.items()},
    }
    if match is not None:
        data["match"] = pa.array(match)
        if table.label is not None:
            data["kind"] = pa.array(kinds(match, table.label), pa.string())
    pq.write_table(pa.table(data), path)
