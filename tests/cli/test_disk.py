"""A disk that takes no more, and places that cannot be written: one clear error, and nothing half."""

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from flipkd.cli.main import main
from flipkd.errors import FlipkdError
from flipkd.files import disk_fault, written_whole
from flipkd.student.trunk import TrunkCache
from killing import Runner
from tiny import pairs, write_csv


def errors(said):
    return [line for line in said.splitlines() if line.startswith("error:")]


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
    """The system's own refusal, each time of a larger file: of Python, numpy, safetensors, tokenizers and torch."""
    refused = []
    for limit in (10, 1_000, 20_000, 26_000, 30_000, 40_000, 50_000, 55_000):
        status, said = distillation(limit, trunk_cache_gb=0.0)
        if status == 0:
            break
        assert (status, len(errors(said)), "Traceback" in said) == (1, 1, False), said
        refused.append(errors(said)[0])
        assert not (tmp_path / "run").exists()
    else:
        status, said = distillation(trunk_cache_gb=0.0)
    print(*refused, sep="\n")
    assert status == 0, said
    assert len(set(refused)) >= 4


def test_a_full_disk_under_the_memory_map_is_an_error_before_anything_is_computed(distillation):
    status, said = distillation(1_000_000)
    assert status == 1
    assert "rows.bin, the frozen layers' outputs: [Errno 27] File too large" in errors(said)[0]
    assert "--trunk-cache-gb" in errors(said)[0]


def test_the_memory_map_takes_its_disk_before_rows_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("flipkd.student.trunk._STEP", 64)
    cache = TrunkCache(tmp_path, fingerprint="f", width=4, limit_bytes=4 * 4 * 100)
    size = os.stat(tmp_path / "rows.bin").st_size
    import numpy as np

    class Full:
        def __enter__(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(Path, "open", lambda self, *_: Full())
    cache.put([])
    with pytest.raises(FlipkdError, match="No space left on device.*Free some room.*--trunk-cache-gb"):
        cache.put([(np.arange(5), np.ones((5, 4), np.float32))])
    assert cache.get(np.arange(5), 5) is None
    assert size == 1600
