"""What was answered for each pair, as a parquet file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.data.table import PairTable


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
