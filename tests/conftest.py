"""One whole run on tiny models, shared by the tests that look at it."""

import pytest
from hypothesis import settings as hypothesis_settings

from flipkd.distill.config import DistillConfig
from flipkd.distill.run import distill
from flipkd.teacher.training import TeacherConfig
from tiny import PROMPT, base_model, label_words, pairs, save_student, save_teacher, write_csv

# The same examples every time, so that a change is judged by what it changes; others are looked for with
# `pytest --hypothesis-profile=fresh`. Machines differ too much for deadlines.
hypothesis_settings.register_profile("fresh", deadline=None)
hypothesis_settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis_settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _warnings_are_new(monkeypatch):
    """A warning is printed once a process; here once a test."""
    monkeypatch.setattr("flipkd.console._warned", set())


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"student": save_student(folder / "student"), "teacher": save_teacher(folder)}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return {
        name: write_csv(pairs(count, seed), folder / f"{name}.csv")
        for seed, (name, count) in enumerate({"train": 48, "validation": 40, "test": 30}.items())
    }


@pytest.fixture(scope="session")
def settings(models, files, tmp_path_factory):
    """Makes a configuration of a tiny run."""
    words = base_model()[1]
    shared = {
        **models,
        **files,
        "teacher_training": TeacherConfig(epochs=1),
        "prompt": PROMPT,
        "label_words": tuple(label_words(words)),
        "max_text_tokens": 40,
        "adapt_layers": 2,
        "lora_rank": 4,
        "batch_pairs": 8,
        "warmup_epochs": 2,
        "epochs": 2,
        "learning_rate": 5e-3,
        "warmup_learning_rate": 0.018,
        "logging_steps": 2,
        "trunk_cache_gb": 0.01,
        "device": "cpu",
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
    }
    return lambda output, **options: DistillConfig(**(shared | {"output": str(output)} | options))


@pytest.fixture(scope="session")
def artefact(settings, tmp_path_factory):
    return distill(settings(tmp_path_factory.mktemp("runs") / "run"))
