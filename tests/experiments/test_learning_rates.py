"""The comparison of learning rates: who gets how many, on which pairs, and what a second start does."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from flipkd.experiments import learning_rates
from flipkd.experiments.cells import read_lines
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.learning_rates import FILE, Rate, compare_rates, held_out_sample
from flipkd.experiments.sets import PairSet

SET = PairSet("one", "none", "student", "teacher", rows=(10, 8, 12))


class FakeRun:
    """A student whose log-odds are right up to a noise that grows with the rate."""

    config = student = None

    def __init__(self, sample):
        self.label = sample.validation.require_labels()
        self.asked = []

    def at_rate(self, method, rate):
        self.asked.append((method, rate))
        value = self.label + rate * np.random.default_rng(0).normal(size=len(self.label))
        read = {"validation_log_odds": value}
        return read | ({"validation_similarity": value} if method == "flipped" else {})


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    for split in ("train", "validation", "test"):
        rows = [{"text_a": f"{split} {i}", "text_b": f"b {i}", "label": i % 2} for i in range(25)]
        with gzip.open(tmp_path / "one" / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(learning_rates, "PAIR_SETS", {"one": SET})
    monkeypatch.setattr("flipkd.experiments.config.PAIR_SETS", {"one": SET})
    monkeypatch.setattr(learning_rates, "HELD_OUT", 6)
    monkeypatch.setattr(learning_rates, "joint_rate", lambda config, student: 1.0)
    monkeypatch.setattr(learning_rates, "set_run", lambda config, pair_set, sample, seed: FakeRun(sample))
    return tmp_path


def test_no_pair_that_is_measured_on_was_learnt_from_or_is_a_test_pair(data):
    sample = held_out_sample(SET, data)
    learnt, measured = set(sample.train.text_a), set(sample.validation.text_a)
    assert (len(learnt), len(measured)) == (10, 14)
    assert not learnt & measured
    assert not any(text.startswith("test") for text in learnt | measured)


def test_pairs_that_share_a_text_with_a_learnt_one_are_not_measured_on(data):
    rows = [{"text_a": f"train {i // 2}", "text_b": f"b {i}", "label": i % 2} for i in range(50)]
    with gzip.open(data / "one" / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    sample = held_out_sample(SET, data)
    measured = [text for text in sample.validation.text_a if text.startswith("train")]
    assert len(measured) == 6
    assert not set(sample.train.text_a) & set(measured)


def test_in_a_list_of_standard_questions_the_first_texts_alone_are_kept_apart(data):
    rows = [{"text_a": f"train {i}", "text_b": "the one standard question", "label": i % 2} for i in range(50)]
    with gzip.open(data / "one" / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    assert len(held_out_sample(replace(SET, families=True), data).validation) == 14
    assert len(held_out_sample(SET, data).validation) == 8


def test_both_methods_get_the_same_rates_and_a_second_start_trains_none(data):
    config = ReproduceConfig(data=str(data), results=str(data / "results"), only="one")
    compare_rates(config)
    lines = list(read_lines(data / "results" / FILE, Rate))
    rates = {method: [line.rate for line in lines if (line.method, line.signal) == (method, "decoder")]
             for method in ("fine_tuned_long", "flipped")}  # fmt: skip
    assert rates["fine_tuned_long"] == rates["flipped"] == [1.0, 0.5, 2.0]
    assert {line.signal for line in lines if line.method == "flipped"} == {"decoder", "encoder"}
    assert all(line.held_out == 14 for line in lines)
    best = {line.rate: line.auc for line in lines if line.method == "fine_tuned_long"}
    assert best[0.5] > best[1.0] > best[2.0]
    compare_rates(config)
    assert list(read_lines(data / "results" / FILE, Rate)) == lines
