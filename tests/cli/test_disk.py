"""A disk that takes no more, and places that cannot be written: one clear error, and nothing half."""

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from flipkd.errors import FlipkdError
from flipkd.student.trunk import TrunkCache
from killing import Runner


def errors(said):
    """The errors printed; one may stand behind a progress bar."""
    return [line.partition("error: ")[2] for line in said.splitlines() if "error: " in line]


@pytest.fixture
def distillation(settings, tmp_path):
    """Runs a toy distillation, where a file may have so many bytes."""
    runner = Runner(tmp_path)

    def run(disk=None, **options):
        made = asdict(settings("run", cache_dir="cache", baseline=False, epochs=1, warmup_epochs=0, **options))
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(made))))
        status, _ = runner.run(["distill", "--config", "run.yaml"], disk=disk)
        return status, runner.said

    return run


def test_a_disk_that_takes_no_more_is_one_error_and_the_same_command_goes_on(distillation, tmp_path):
    """The system's own refusal, each time of a larger file: of a record, a teacher's weights, an optimiser's state."""
    for limit, expected in (
        (1_000, "[Errno 27] File too large: 'run.work/run.json'. "),
        (26_000, "Writing run or beside it: Error while serializing: I/O error: File too large (os error 27). "),
        (40_000, "Writing run or beside it: torch could not write a checkpoint ("),
    ):
        status, said = distillation(limit, trunk_cache_gb=0.0)
        assert (status, len(errors(said)), "Traceback" in said) == (1, 1, False), said
        assert errors(said)[0].startswith(expected)
        assert not (tmp_path / "run").exists()
    status, said = distillation(trunk_cache_gb=0.0)
    assert status == 0, said


def test_a_full_disk_under_the_memory_map_is_an_error_before_anything_is_computed(distillation):
    status, said = distillation(1_000_000)
    assert status == 1
    assert "rows.bin, the frozen layers' outputs: [Errno 27] File too large" in errors(said)[0]
    assert "--trunk-cache-gb" in errors(said)[0]


def test_the_memory_map_takes_its_disk_before_rows_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("flipkd.student.trunk._STEP", 64)
    cache = TrunkCache(tmp_path, fingerprint="f", width=4, limit_bytes=4 * 4 * 100)
    size = os.stat(tmp_path / "rows.bin").st_size

    class Full:
        def __enter__(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(Path, "open", lambda self, *_: Full())
    cache.put([])
    with pytest.raises(FlipkdError, match=r"No space left on device.*Free some room.*--trunk-cache-gb"):
        cache.put([(np.arange(5), np.ones((5, 4), np.float32))])
    assert cache.get(np.arange(5), 5) is None
    assert size == 1600
