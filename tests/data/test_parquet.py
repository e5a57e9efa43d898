"""Damaged parquet files: one clear error, whatever the damage raises underneath."""

import io
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flipkd.data.reader import iter_pairs, read_pairs
from flipkd.errors import FlipkdError

ROWS = 3000


def whole(**options):
    sink = io.BytesIO()
    numbers = range(ROWS)
    columns = {"text_a": [f"a{n}" for n in numbers], "text_b": ["b"] * ROWS, "label": [n % 2 for n in numbers]}
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def test_bytes_changed_anywhere_are_refused_or_change_no_row_count(tmp_path):
    rng, file, read = np.random.default_rng(0), tmp_path / "x.parquet", 0
    for _ in range(150):
        content = bytearray(whole())
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        file.write_bytes(content)
        with suppress(FlipkdError):
            assert len(read_pairs(str(file), empty="keep")) == ROWS
            read += 1
    assert 0 < read < 50


def test_text_that_is_no_utf8_names_the_rows(tmp_path):
    file = tmp_path / "x.parquet"
    broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text_a": broken, "text_b": ["b"], "label": [1]}), file)
    with pytest.raises(FlipkdError, match=r"x\.parquet, in the rows from row 1 on: damaged.*utf-8"):
        read_pairs(str(file))


def test_damage_behind_the_first_rows_names_where_it_begins(tmp_path):
    file = tmp_path / "x.parquet"
    texts = pa.array([b"a"] * 40 + [b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text_a": texts, "text_b": ["b"] * 41}), file)
    chunks = iter_pairs(str(file), chunk_rows=20)
    assert [len(next(chunks)) for _ in range(2)] == [20, 20]
    with pytest.raises(FlipkdError, match="in the rows from row 41 on"):
        next(chunks)


def test_a_page_that_fails_its_checksum_is_refused(tmp_path):
    file = tmp_path / "x.parquet"
    options = {"compression": "none", "use_dictionary": False}
    content = whole(write_page_checksum=True, **options).replace(b"a1234", b"a1235", 1)
    file.write_bytes(content)
    with pytest.raises(FlipkdError, match=r"x\.parquet.*(?i:crc|checksum)"):
        read_pairs(str(file))
