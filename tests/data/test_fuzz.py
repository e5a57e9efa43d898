"""The reader on files that were written whole, and on damaged ones; more of them by `make nightly`."""

import numpy as np
import pytest

import mutated
from flipkd.data.reader import read_pairs


@pytest.mark.parametrize("seed", range(60))
def test_what_was_written_is_read_exactly(tmp_path, seed):
    rng = np.random.default_rng(seed)
    ending, content, rows = mutated.drawn(rng)
    file = mutated.packed_as(rng, tmp_path / f"pairs.{ending}", content)
    table = read_pairs(str(file), empty="keep")
    found = zip(table.text_a, table.text_b, map(str, table.label.tolist()), strict=True)
    assert [list(row) for row in found] == rows


def test_damaged_files_are_read_as_they_stand_or_refused_by_name(tmp_path):
    rng = np.random.default_rng(1)
    read = [mutated.check(rng, tmp_path) for _ in range(400)]
    assert 20 < sum(read) < 380
