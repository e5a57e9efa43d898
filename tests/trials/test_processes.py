"""docs/trials.md, several processes: rows 18, 26 and 36."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import flipkd
from flipkd import FlipkdError
from flipkd.device import require_one_process
from flipkd.distill.run import distill
from flipkd.teacher.training import TeacherConfig, fit_teacher
from tiny import pairs
from trials.stages_of_a_process import main as both_stages


def stored(output):
    """The adapters that both stages left, and how many processes they had."""
    found = {}
    for file in sorted(output.glob("*.safetensors")):
        with safe_open(file, "pt") as handle:
            processes = handle.metadata()["processes"]
            found |= {(file.stem, name): handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return processes, found


@pytest.fixture
def one_thread():
    """As each of the launched processes has: threads part a sum otherwise, and Adam makes much of what is near 0."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_processes_of_one_batch_are_one_process_of_two(tmp_path, one_thread):
    """Rows 18 and 36: both stages, the warm-up with adapters that get no gradient, and 5 pairs to evaluate.

    Row 26: what is compared stays inside a batch, in two processes as in one.
    """
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    both_stages(tmp_path / "one", 2)
    path = os.pathsep.join([str(Path(flipkd.__file__).parents[1]), str(Path(__file__).parents[1])])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *launcher, both_stages.__code__.co_filename, str(tmp_path / "two"), "1"],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=240,
    )
    (processes, two), (_, one) = stored(tmp_path / "two"), stored(tmp_path / "one")
    assert processes == "2"
    assert {stage for stage, _ in one} == {"WarmupTrainer", "FlipTrainer"}
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=0)


def test_a_whole_job_in_several_processes_is_refused(settings, models, tmp_path, monkeypatch):
    """Row 18: each process would do it alone and write the same files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = TeacherConfig(epochs=1)
    for job in (
        lambda: distill(settings(tmp_path / "run")),
        lambda: fit_teacher(models["teacher"], pairs(16), tmp_path / "teacher", config, seed=0, device="cpu"),
    ):
        with pytest.raises(FlipkdError, match="one process, but WORLD_SIZE is 2"):
            job()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("WORLD_SIZE", "1")
    require_one_process()
