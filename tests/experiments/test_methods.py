"""Every method of the table on tiny models, resumed and shared as in the real grid."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.evaluation.answer import fit_answer as fit
from flipkd.experiments.grid import METHODS
from flipkd.experiments.methods import PAPER, SetRun
from flipkd.teacher.training import TeacherConfig
from tiny import PROMPT, pairs, save_student, save_teacher


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    student, teacher = save_student(folder / "student"), save_teacher(folder)
    splits = Splits(pairs(40), pairs(30, seed=7), pairs(30, seed=8), [])

    def run(name="run", seed=0, teacher=teacher, **options):
        config = DistillConfig(
            train="toy",
            output=str(folder / name),
            teacher=teacher,
            student=student,
            teacher_training=TeacherConfig(epochs=1, batch_size=8),
            adapt_layers=2,
            lora_rank=4,
            lora_alpha=8,
            prompt=PROMPT,
            label_words=(" no", " yes"),
            max_text_tokens=20,
            warmup_epochs=1,
            epochs=2,
            batch_pairs=8,
            seed=seed,
        )
        shared = folder / "shared"
        shared.mkdir(exist_ok=True)
        return SetRun(config, splits, shared, "cpu", folder / "cache", **options)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def outcomes(make):
    run = make()
    return {method: run.methods[method]() for method in METHODS}


def test_every_method_says_something_of_every_test_pair(outcomes):
    for outcome in outcomes.values():
        assert outcome.value.shape == (30,)
        assert np.isfinite(outcome.value).all()
        assert np.isfinite(outcome.threshold)


def test_trainings_end_in_different_students(outcomes):
    decoders = ("zero_shot", "fine_tuned", "fine_tuned_long", "flipped_decoder", "paper_decoder")
    values = [tuple(outcomes[method].value) for method in decoders]
    assert len(set(values)) == len(decoders)


def test_what_a_method_costs_is_all_training_behind_it(outcomes):
    assert outcomes["floor"].seconds == outcomes["zero_shot"].seconds == 0
    assert outcomes["flipped_decoder"].seconds > outcomes["teacher"].seconds > 0
    assert outcomes["fine_tuned_teacher"].seconds == pytest.approx(
        outcomes["fine_tuned_long"].seconds + outcomes["teacher"].seconds
    )


def test_the_long_baseline_gets_the_minutes_of_flipping(make, outcomes):
    seconds = json.loads((make.folder / "run.work" / "seconds.json").read_text())
    passes = json.loads((make.folder / "run.work" / "long_epochs.json").read_text())
    flipping = sum(seconds[piece] for piece in ("teacher", "warm_up", "flipped"))
    assert passes == pytest.approx(max(2.0, flipping / (seconds["fine_tuned"] / 2)), abs=0.06)
    assert outcomes["fine_tuned_long"].note == f"{passes} passes"


def test_a_second_start_trains_nothing_again(make, outcomes, monkeypatch):
    again = make()
    monkeypatch.setattr(
        "flipkd.training.stage.StageTrainer.run", lambda self: pytest.fail(f"{self.stage} was trained again")
    )
    for method in METHODS:
        assert np.allclose(again.methods[method]().value, outcomes[method].value)


def test_answers_are_calibrated_by_the_logistic_model_alone(make, outcomes, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "flipkd.experiments.methods.fit_answer",
        lambda *given, **options: asked.append(options) or fit(*given, **options),
    )
    again = make()
    for method in ("flipped_answer", "flipped_teacher", "fine_tuned_teacher", "no_teacher_answer"):
        again.methods[method]()
    assert [options["steps"] for options in asked] == [False] * 4


def test_the_threshold_of_an_answer_is_not_that_of_its_cross_fitted_probabilities(make, outcomes, monkeypatch):
    monkeypatch.setattr(
        "flipkd.experiments.methods.fit_answer",
        lambda *given, **options: replace(fit(*given, **options), threshold=99.0),
    )
    again = make()
    for method in ("flipped_answer", "flipped_teacher", "fine_tuned_teacher", "no_teacher_answer"):
        assert again.methods[method]().threshold == outcomes[method].threshold < 1


def test_the_untrained_student_is_read_once_for_all_seeds(make, outcomes, monkeypatch):
    other = make("other", seed=1)
    monkeypatch.setattr("flipkd.distill.student.Reader", lambda *_, **__: pytest.fail("it was read again"))
    assert np.array_equal(other.methods["zero_shot"]().value, outcomes["zero_shot"].value)


def test_a_teacher_that_is_not_there_is_made_and_its_making_counts(make, tmp_path):
    folder = tmp_path / "made"

    def make_teacher():
        shutil.copytree(make().config.teacher, folder)
        time.sleep(0.2)

    run = make("made", teacher=str(folder), make_teacher=make_teacher)
    known = run.methods["teacher"]().seconds
    assert known > 0.2
    again = make("made", teacher=str(folder), make_teacher=lambda: pytest.fail("it was made again"))
    assert again.methods["teacher"]().seconds == known


def test_the_paper_row_has_the_settings_of_its_file():
    file = Path(__file__).parents[2] / "configs" / "paper.yaml"
    assert yaml.safe_load(file.read_text()) == PAPER
