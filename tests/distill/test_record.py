"""The record of a run, and its comparison with the other methods."""

import json
import shlex

import numpy as np
import pyarrow.parquet as pq
import pytest

from flipkd.cli.options import parse
from flipkd.distill.compare import Comparison
from flipkd.distill.config import DistillConfig
from flipkd.distill.differences import differences
from flipkd.distill.record import changed_settings, command
from flipkd.evaluation.metrics import measure
from flipkd.evaluation.paired import compare_systems
from flipkd.matching.systems import read_system
from flipkd.teacher.training import TeacherConfig
from tiny import pairs

ODD = {
    "train": "my pairs.csv",
    "prompt": "Text \"A\":\n{a}\n- {b}\n'same'? $HOME",
    "label_words": (" no", " yes"),
    "columns": {"text_a": "asked", "text_b": "-answered"},
    "report_to": ["tensorboard"],
    "site_modules": ["self_attn.q_proj"],
    "tau_p": 0.5,
    "tau_n": -0.25,
    "baseline": False,
    "adapt_layers": "all",
    "learning_rate": 1e-5,
    "early_stopping_patience": 2,
    "output": "-odd",
}


def test_the_command_gives_the_settings_back():
    config = DistillConfig(**ODD, teacher_training=TeacherConfig(epochs=0.5, folds=3))
    words = shlex.split(command(changed_settings(config)))
    assert words[:2] == ["flipkd", "distill"]
    assert parse(DistillConfig, "flipkd distill", words[2:]) == config


def test_only_what_differs_is_kept_beside_its_default():
    assert changed_settings(DistillConfig()) == {}
    found = changed_settings(DistillConfig(epochs=7, teacher_training=TeacherConfig(folds=3)))
    assert found == {
        "epochs": {"value": 7, "default": 6.0},
        "teacher_training": {"folds": {"value": 3, "default": 2}},
    }


def test_an_artefact_keeps_its_run_and_its_self_check(artefact):
    run = json.loads((artefact / "training" / "run.json").read_text())
    config = json.loads((artefact / "flipkd.json").read_text())["config"]
    assert run["student_from"] == "folder"
    assert run["hardware"].keys() == {"system", "processor", "cores", "threads", "device"}
    assert run["hardware"]["device"] == "cpu"
    assert {
        name: entry["value"] for name, entry in run["changed"].items() if "value" in entry
    }.items() <= config.items()
    checks = json.loads((artefact / "evaluation" / "self_check.json").read_text())["checks"]
    assert len(checks) == 4
    assert all(check["passed"] is True for check in checks)


def test_differences_are_those_of_flipkd_compare(artefact, files):
    from flipkd.data.reader import read_pairs
    from flipkd.data.splits import text_groups

    found = json.loads((artefact / "evaluation" / "metrics.json").read_text())
    test = read_pairs(files["test"])
    predictions = artefact / "evaluation" / "predictions.parquet"
    ours, theirs = (
        read_system(str(predictions), test, value=column, threshold=found["rows"][row]["threshold"], device="cpu")
        for row, column in (("flipped_answer", "flipped_answer_probability"), ("teacher", "teacher"))
    )
    group = text_groups(test.text_a, test.text_b)
    report = compare_systems(test.require_labels(), group, theirs, ours, {}).as_dict()
    shown = found["differences"]["against"]["teacher"]
    assert found["differences"]["independent"] == report["independent"]
    for metric in ("f1", "auc"):
        assert [shown[metric][name] for name in ("theirs", "ours", "difference", "low", "high")] == [
            report["metrics"][metric][name] for name in ("a", "b", "difference", "low", "high")
        ]
        # Scikit-learn sums the area in another order.
        assert shown[metric]["ours"] == pytest.approx(found["rows"]["flipped_answer"][metric])


@pytest.mark.parametrize("baseline", [True, False])
def test_a_method_is_compared_with_those_there_are_and_not_ahead_of_its_equal(baseline):
    table = pairs(40)
    value = np.random.default_rng(0).random(40)
    names = ["teacher", "zero_shot", "flipped_answer", *(["fine_tuned"] if baseline else [])]
    rows = dict.fromkeys(names, measure(value, table.require_labels(), 0.5))
    columns = dict.fromkeys(names, value) | {"flipped_answer_probability": value}
    found = differences(Comparison(rows, {}, "test", columns, {}), "flipped_answer", table)
    assert found["against"].keys() == set(names) - {"flipped_answer"}
    for metrics in found["against"].values():
        for numbers in metrics.values():
            assert (numbers["difference"], numbers["low"], numbers["high"], numbers["missed_below"]) == (0, 0, 0, 0)


def test_the_predictions_hold_what_the_differences_are_of(artefact):
    method = json.loads((artefact / "evaluation" / "metrics.json").read_text())["differences"]["method"]
    names = pq.read_schema(artefact / "evaluation" / "predictions.parquet").names
    assert f"{method}_probability" in names
