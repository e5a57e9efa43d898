"""Parquet, a batch of rows at a time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flipkd.data.records import Batch, Records
from flipkd.errors import FlipkdError


def arrow_batches(tables: Iterable[Any]) -> Iterator[Batch]:
    """Batches from pyarrow tables or record batches that follow each other; rows are counted from 1."""
    start = 1
    for table in tables:
        columns = [column.to_pylist() for column in table.columns]
        yield Batch(list(range(start, start + table.num_rows)), columns)
        start += table.num_rows


@contextmanager
def parquet_records(path: str, chunk_rows: int) -> Iterator[Records]:
    """Open a parquet file.

    Args:
        path: The file.
        chunk_rows: Rows in a batch; a row group is never held whole.

    Raises:
        FlipkdError: If it is not a parquet file.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise FlipkdError(f"{path}: no parquet file that can be read ({error}).") from error
    with file:
        yield Records(file.schema_arrow.names, arrow_batches(file.iter_batches(chunk_rows)), "row")
