"""kill -9 at any moment: nothing half is ever visible, and the same command again gives the uninterrupted result.

Three moments in every run of the tests, fifty with `make kill`.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import yaml

from killing import Runner
from tiny import pairs, write_csv

KILLED = -9
NIGHT = pytest.param(50, marks=pytest.mark.nightly)


class Job:
    """A command, what it must give, and a folder of its own for each time it is run."""

    def __init__(self, make_folder, words, output, result):
        self.make_folder, self.words, self.output, self.result = make_folder, words, output, result
        self.stopped_after = Counter()
        runner = Runner(make_folder())
        runner.run(["--version"])  # so that the server is up, and its start in no one's time
        status, self.seconds = runner.run(words)
        assert status == 0, runner.said
        self.changes = runner.changes
        self.expected = result(runner.folder)

    def survives(self, **kill):
        """Kill it once, as `Runner.run` says, and start it again."""
        runner = Runner(self.make_folder())

        def watch():
            if (runner.folder / self.output).exists():
                assert self.result(runner.folder) == self.expected

        status, _ = runner.run(self.words, watch=watch, **kill)
        assert status in (KILLED, 0), runner.said
        if status == KILLED:
            self.stopped_after[self.stage(runner.folder)] += 1
        if not (runner.folder / self.output).exists():
            status, _ = runner.run(self.words, watch=watch)
            assert status == 0, runner.said
            assert not [file.name for file in runner.folder.iterdir() if file.name.startswith("run.work")]
        assert self.result(runner.folder) == self.expected

    def stage(self, folder):
        """The last finished piece of the work."""
        if (folder / self.output).exists():
            return "the output"
        done = [*folder.glob("run.work/*.json"), *folder.glob("run.work/*.npz"), *folder.glob("run.work/*/*-*")]
        done = [file for file in done if file.name != "seconds.json"]
        return max(done, key=lambda file: file.stat().st_mtime).name if done else "nothing"

    def survives_all(self, count):
        """`count` moments: half at a random time, half just before a random change of a file; spread over the run."""
        rng = np.random.default_rng(count)
        while (number := sum(self.stopped_after.values())) < count:
            share = (number + rng.random()) / count
            if number % 2:
                # Less than the whole: other times are not the same, and a run that ends before its kill does not count.
                self.survives(after=0.95 * share * self.seconds)
            else:
                self.survives(stop_at=1 + int(share * self.changes))
        found = f"{self.seconds:.1f} s, {self.changes} changes of files; stopped after {dict(self.stopped_after)}"
        sys.stdout.write(f"\n{self.words[0]}: {found}\n")


def artefact_in(folder):
    """All that two runs must have in common: everything but the times."""
    run = folder / "run"
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    metrics.pop("seconds")
    return {
        "files": sorted(str(file.relative_to(run)) for file in run.rglob("*")),
        "adapter": (run / "adapter_model.safetensors").read_bytes(),
        "spec": json.loads((run / "flipkd.json").read_text()),
        "metrics": metrics,
        "predictions": (run / "evaluation" / "predictions.parquet").read_bytes(),
    }


def folders(tmp_path_factory, name):
    return lambda: tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def distillation(settings, tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "run.yaml"
    options = asdict(settings("run", cache_dir="cache", baseline=False, warmup_epochs=1))
    config.write_text(yaml.safe_dump(json.loads(json.dumps(options))))
    return Job(folders(tmp_path_factory, "distill"), ["distill", "--config", str(config)], "run", artefact_in)


@pytest.fixture(scope="module")
def matching(artefact, tmp_path_factory):
    file = write_csv(pairs(150, seed=9), tmp_path_factory.mktemp("pairs") / "pairs.csv")
    words = ["match", "--model", str(artefact), "--pairs", file, "--output", "out.csv", "--device", "cpu"]
    read = lambda folder: (folder / "out.csv").read_bytes()  # noqa: E731
    return Job(folders(tmp_path_factory, "match"), [*words, "--chunk-rows", "5"], "out.csv", read)


@pytest.mark.parametrize("count", [3, NIGHT])
def test_a_killed_distillation_resumes_to_the_same_artefact(distillation, count):
    distillation.survives_all(count)


@pytest.mark.parametrize("count", [3, NIGHT])
def test_a_killed_match_leaves_no_output_and_starts_again(matching, count):
    matching.survives_all(count)
