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


def _batches(file: Any, path: str, chunk_rows: int) -> Iterator[Batch]:
    import pyarrow as pa

    row = 1
    try:
        for batch in arrow_batches(file.iter_batches(chunk_rows)):
            yield batch
            row += len(batch.places)
    # Damage shows as any of these: pages that can't be unpacked, strings that are not UTF-8, dates beyond Python's.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise FlipkdError(
            f"{path}, in the rows from row {row} on: damaged, or of a type that can't be read ({error}). "
            "Fetch or write it again."
        ) from error


@contextmanager
def parquet_records(path: str, chunk_rows: int) -> Iterator[Records]:
    """Open a parquet file.

    Args:
        path: The file.
        chunk_rows: Rows in a batch; a row group is never held whole.

    Raises:
        FlipkdError: At once or while reading: no parquet file, or a damaged one.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path, page_checksum_verification=True)
        header = file.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FlipkdError(f"{path}: no parquet file that can be read ({error}). Fetch or write it again.") from error
    with file:
        yield Records(header, _batches(file, path, chunk_rows), "row")
