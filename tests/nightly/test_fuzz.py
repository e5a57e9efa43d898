"""100,000 damaged files: `make nightly`."""

import numpy as np
import pytest

import mutated
from flipkd.console import console

FILES = 100_000


@pytest.mark.nightly
def test_a_damaged_file_is_read_as_it_stands_or_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "quiet", True)
    rng = np.random.default_rng(0)
    read = sum(mutated.check(rng, tmp_path) for _ in range(FILES))
    print(f"{read} of {FILES} damaged files were read, the others refused")  # noqa: T201
    assert FILES * 0.02 < read < FILES * 0.98
