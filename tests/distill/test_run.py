"""The whole job on tiny models."""

import json
import os
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest

from flipkd.distill.run import distill
from flipkd.distill.student import StudentRun
from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import fit_answer
from flipkd.training.trainer import FlipTrainer, WarmupTrainer
from tiny import pairs, write_csv

ROWS = (
    "teacher", "zero_shot", "fine_tuned", "flipped_decoder", "flipped_encoder", "flipped_answer", "fine_tuned_teacher",
    "flipped_teacher",
)  # fmt: skip
FIGURES = ("f1", "accuracy", "precision", "recall", "ap", "auc", "threshold", "n")


def metrics(folder):
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


def test_every_row_and_figure_is_measured_on_test(artefact):
    found = metrics(artefact)
    assert found["measured_on"] == "test"
    assert tuple(found["rows"]) == ROWS
    for row in found["rows"].values():
        assert all(np.isfinite(row[figure]) for figure in FIGURES)
        assert row["n"] == 30


def test_the_artefact_is_whole_and_no_work_is_left(artefact):
    expected = {
        "adapter_model.safetensors", "adapter_config.json", "flipkd.json", "tokenizer.json", "README.md",
        "report.html", "training/log.jsonl", "training/run.json", "training/loss.png", "evaluation/metrics.json",
        "evaluation/predictions.parquet", "evaluation/self_check.json",
        "evaluation/precision_recall.png", "evaluation/roc.png", "evaluation/reliability.png",
        "evaluation/similarity.png", "evaluation/vectors.png",
    }  # fmt: skip
    there = {str(file.relative_to(artefact)) for file in artefact.rglob("*") if file.is_file()}
    assert expected <= there
    assert [entry.name for entry in artefact.parent.iterdir()] == ["run"]


def test_calibration_is_measured_before_and_after_on_the_predictions(artefact):
    said = json.loads((artefact / "evaluation" / "metrics.json").read_text())["calibration"]
    table = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pydict()
    label = np.array(table["label"])
    after = np.array(table["flipped_answer_probability"])
    before = 1 / (1 + np.exp(-np.array(table["log_odds"])))
    assert said["test"]["after"]["brier"] == pytest.approx(((after - label) ** 2).mean())
    assert said["test"]["before"]["brier"] == pytest.approx(((before - label) ** 2).mean())
    assert {split: sides["after"]["n"] for split, sides in said.items()} == {"validation": 40, "test": 30}


def test_predictions_keep_the_rows_and_give_the_metrics(artefact):
    table = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pydict()
    row = metrics(artefact)["rows"]["flipped_answer"]
    match, label = np.array(table["match"]), np.array(table["label"])
    assert len(label) == 30
    assert (match == (label == 1)).mean() == pytest.approx(row["accuracy"])
    assert np.array_equal(match, np.array(table["flipped_answer_probability"]) >= row["threshold"])


def test_the_log_names_each_stage_term_and_gradient_norm(artefact):
    log = [json.loads(line) for line in (artefact / "training" / "log.jsonl").read_text().splitlines()]
    stages = ("fine_tuned", "warm_up", "flipped")
    by_stage = {stage: [r for r in log if r["stage"] == stage and "loss" in r] for stage in stages}
    assert all(by_stage.values())
    assert {"ce", "mcl", "distillation", "ce_grad_norm", "mcl_grad_norm"} <= by_stage["flipped"][0].keys()
    assert "ce" not in by_stage["warm_up"][0]


def test_without_test_and_baseline_the_table_is_of_validation(settings, tmp_path):
    found = metrics(distill(settings(tmp_path / "run", test=None, baseline=False, warmup_epochs=0)))
    assert found["measured_on"] == "validation"
    assert set(found["rows"]) == set(ROWS) - {"fine_tuned", "fine_tuned_teacher"}


def test_without_validation_a_split_is_made_and_said(settings, tmp_path, capsys):
    distill(settings(tmp_path / "run", validation=None, baseline=False, validation_share=0.4))
    said = " ".join(capsys.readouterr().err.split())
    assert "no file was given; the split shares no text" in said


def test_passes_and_patience_reach_the_trainings(settings, tmp_path, monkeypatch):
    seen = {}

    class Spy(FlipTrainer):
        def __init__(self, student, args, *, signal, callbacks, **options):
            seen["fine-tuning" if signal is None else "joint"] = args.num_train_epochs, callbacks
            super().__init__(student, args, signal=signal, callbacks=callbacks, **options)

    monkeypatch.setattr("flipkd.distill.student.FlipTrainer", Spy)
    distill(settings(tmp_path / "run", baseline_epochs=1.0, epochs=2, early_stopping_patience=3, warmup_epochs=0))
    assert {stage: passes for stage, (passes, _) in seen.items()} == {"fine-tuning": 1, "joint": 2}
    assert [callback.early_stopping_patience for _, (callback,) in seen.values()] == [3, 3]


@pytest.mark.parametrize(("flat", "times"), [(10.0, 1), (0.0, 0)], ids=["collapsed", "spread"])
def test_an_encoder_that_tells_no_texts_apart_is_said_once(settings, tmp_path, monkeypatch, capsys, flat, times):
    monkeypatch.setattr("flipkd.distill.student.FLAT", flat)
    distill(settings(tmp_path / "run", baseline=False, warmup_epochs=0))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("all validation pairs nearly one similarity") == times


def test_half_precision_below_trains_and_answers_as_the_artefact_will(settings, tmp_path):
    folder = distill(settings(tmp_path / "run", trunk_cache_dtype="float16", baseline=False))
    check = json.loads((folder / "evaluation" / "self_check.json").read_text())["checks"][0]
    assert check["name"] == "log-odds after reload"
    assert float(check["found"].partition(",")[0]) < 1e-6


def test_unlabelled_texts_join_the_warm_up(settings, tmp_path):
    extra = tmp_path / "texts.txt"
    extra.write_text("".join(f"a new card number {i}\n" for i in range(9)), encoding="utf-8")
    seen = []
    original = WarmupTrainer.__init__

    def spy(self, *args, **kwargs):
        seen.extend(kwargs["unlabelled"])
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WarmupTrainer, "__init__", spy)
        distill(settings(tmp_path / "run", unlabelled=str(extra), baseline=False))
    assert len(seen) == 9


def test_too_few_validation_pairs_for_a_band_are_named(artefact):
    found = metrics(artefact)["cascade"]
    spec = json.loads((artefact / "flipkd.json").read_text())
    assert (found["band"], found["curve"], spec["cascade"]) == (None, [], None)
    assert "40 validation pairs" in found["reason"] or "never asks the decoder" in found["reason"]
    assert not (artefact / "evaluation" / "cascade.png").exists()


def test_the_band_is_recorded_drawn_and_used(settings, tmp_path, capsys):
    from flipkd import Matcher
    from flipkd.distill import compare

    def both(signals, label, sources, *, seed):
        return fit_answer(signals, label, [sources[-1]], seed=seed)

    table = pairs(120, seed=7)
    validation = write_csv(table, tmp_path / "validation.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "fit_answer", both)
        # The mean, since the last token of a toy's text says little, and a band needs an encoder that knows something.
        folder = distill(settings(tmp_path / "run", validation=validation, baseline=False, pooling="mean"))
    found = metrics(folder)["cascade"]
    band = json.loads((folder / "flipkd.json").read_text())["cascade"]
    assert band == found["band"]
    assert band["reason"] == found["reason"]
    assert band["rows"] == 120
    assert [point["allowed"] for point in found["curve"]] == [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05]
    assert (folder / "evaluation" / "cascade.png").stat().st_size > 5_000
    page = (folder / "report.html").read_text()
    assert "flipkd.json: cascade.changed_held_out" in page
    assert 'alt="Share of decisions that change over the share of pairs that skip the decoder' in page
    assert "skip the decoder (similarities below" in " ".join(capsys.readouterr().err.split())

    # The file's band does on validation what it says of itself.
    matcher = Matcher.from_pretrained(folder, device="cpu")
    whole, some = (matcher.match_arrays(table.text_a, table.text_b, cascade=each) for each in (False, True))
    assert some.skipped == pytest.approx(120 * band["skipped"])
    assert some.skipped > 0
    assert (whole.match != some.match).mean() == pytest.approx(band["changed"])


def test_the_thresholds_policy_is_stored_measured_and_decides_each_prediction(settings, tmp_path, capsys):
    folder = distill(settings(tmp_path / "run", threshold_policy="bands=0.45:0.45", baseline=False))
    spec = json.loads((folder / "flipkd.json").read_text())
    found = metrics(folder)
    decision = spec["decision"]
    assert decision["policy"] == "bands=0.45:0.45"
    assert spec["answer"]["threshold"] == decision["threshold"]
    assert {**found["decision"], "measured": None} == {**decision, "measured": None}
    rows = pq.read_table(folder / "evaluation" / "predictions.parquet").to_pydict()
    probability, named = np.array(rows["flipped_answer_probability"]), np.array(rows["decision"])
    assert ((named == "accept") == (probability >= decision["threshold"])).all()
    assert ((named == "reject") == (probability < decision["reject"])).all()
    assert ((named == "accept") == np.array(rows["match"])).all()
    assert found["decision"]["measured"]["accepted"]["share"] == pytest.approx((named == "accept").mean())
    # The rows of the table stay at the best F1, so that methods compare.
    assert found["rows"]["flipped_answer"]["threshold"] == found["answers"]["flipped_answer"]["threshold"]
    assert "bands=0.45:0.45: " in (folder / "README.md").read_text()
    said = " ".join(capsys.readouterr().err.split())
    assert "decisions on test: 30 pairs" in said
    assert "calibration on validation, cross-fitted: calibration error" in said


def test_a_policy_that_cannot_be_kept_loses_no_training(settings, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flipkd.distill.settle.cross_fitted", lambda *_, **__: np.full(40, 0.5))
        with pytest.raises(FlipkdError, match=r"can't be kept.* another --threshold-policy goes on from here"):
            distill(settings(tmp_path / "run", threshold_policy="precision=0.99", baseline=False))
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.work"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flipkd.training.stage.StageTrainer.run", lambda _: pytest.fail("it was trained again"))
        assert distill(settings(tmp_path / "run", threshold_policy="accuracy", baseline=False)).is_dir()


def test_a_policy_that_is_none_is_refused_before_anything_is_read(settings, tmp_path):
    with pytest.raises(FlipkdError, match="no threshold policy 'best'"):
        settings(tmp_path / "run", threshold_policy="best", train="missing.csv")


def test_a_kept_teacher_answers_from_the_artefact(settings, tmp_path):
    from flipkd import Matcher

    folder = distill(settings(tmp_path / "run", keep_teacher=True, baseline=False))
    matcher = Matcher.from_pretrained(folder, device="cpu")
    assert matcher.teacher is not None
    assert "teacher" in matcher.answer.sources
    table = pq.read_table(folder / "evaluation" / "predictions.parquet").to_pydict()
    found = matcher.match_many(list(zip(table["text_a"], table["text_b"], strict=True)))
    np.testing.assert_allclose([r.probability for r in found], table["flipped_teacher_probability"], atol=1e-4)


@pytest.mark.parametrize("trainer", [WarmupTrainer, FlipTrainer])
def test_ctrl_c_in_a_stage_leaves_a_run_that_resumes_to_the_same_result(trainer, settings, artefact, tmp_path):
    calls = []
    original = trainer.terms

    def press(self, model, batch):
        calls.append(1)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, model, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "terms", press)
        with pytest.raises(KeyboardInterrupt):
            distill(settings(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "run.work").is_dir()
    assert_same(metrics(distill(settings(tmp_path / "run"))), metrics(artefact))


@pytest.mark.parametrize("stage", ["fine_tune", "warm_up", "flip", "read_swapped"])
def test_a_stop_between_stages_resumes_to_the_same_result(stage, settings, artefact, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudentRun, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            distill(settings(tmp_path / "run"))
    assert_same(metrics(distill(settings(tmp_path / "run"))), metrics(artefact))


def assert_same(found, expected):
    for name, row in expected["rows"].items():
        for figure in FIGURES:
            assert found["rows"][name][figure] == pytest.approx(row[figure], abs=1e-5), (name, figure)


def test_one_class_is_refused_before_anything_is_trained(settings, tmp_path):
    bad = tmp_path / "pairs.csv"
    bad.write_text("text_a,text_b,label\na b,c d,1\ne f,g h,1\n", encoding="utf-8")
    with pytest.raises(FlipkdError, match="matches and non-matches"):
        distill(settings(tmp_path / "run", train=str(bad)))


def test_a_cross_encoder_teacher_has_no_warm_up(settings, tmp_path, models, capsys):
    from sentence_transformers import CrossEncoder

    folder = str(tmp_path / "cross")
    CrossEncoder(f"{models['teacher']}/../plain", num_labels=1, max_length=32, device="cpu").save_pretrained(folder)
    found = metrics(distill(settings(tmp_path / "run", teacher=folder, baseline=False)))
    assert "a teacher of pairs alone" in " ".join(capsys.readouterr().err.split())
    assert "flipped_answer" in found["rows"]


def test_without_the_other_terms_the_artefact_is_one_of_plain_fine_tuning(settings, tmp_path):
    """docs/how-to/improve.md says how."""
    terms = ("mcl_weight", "distillation_weight", "soft_weight")
    folder = distill(settings(tmp_path / "run", baseline=False, warmup_epochs=0, **dict.fromkeys(terms, 0.0)))
    log = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    learnt = [record for record in log if "ce" in record]
    assert {record["stage"] for record in learnt} == {"flipped"}
    assert all(record["loss"] == pytest.approx(record["ce"]) for record in learnt)
