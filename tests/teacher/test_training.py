import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from flipkd.errors import FlipkdError
from flipkd.teacher.leak import auc_error
from flipkd.teacher.loading import fingerprint
from flipkd.teacher.record import RECORD, is_fitted, read_record
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.trainer import LengthBatches
from flipkd.teacher.training import TeacherConfig, fit_teacher

CONFIG = TeacherConfig(epochs=1, batch_size=8, learning_rate=5e-3)


@pytest.fixture
def fit(cache, make_pairs, bi):
    def run(output, config=CONFIG, *, base=bi, pairs=None, **options):
        options = {"seed": 0, "validation": None, "device": "cpu", "cache_dir": cache} | options
        fit_teacher(str(base), pairs or make_pairs(24), output, config, **options)
        return output

    return run


def weights(folder):
    return load_file(folder / "model.safetensors")


def differ(one, other):
    return any(not np.array_equal(one[name], other[name]) for name in one)


def test_one_teacher_a_fold_and_one_of_all(fit, bi, tmp_path, make_pairs):
    output = fit(tmp_path / "teacher", validation=make_pairs(20, seed=50))
    assert sorted(path.name for path in output.iterdir()) == ["all", "flipkd_teacher.json", "fold-0", "fold-1"]
    trained = [weights(output / part) for part in ("fold-0", "fold-1", "all")]
    base = weights(bi)
    assert all(differ(base, one) for one in trained)
    assert differ(trained[0], trained[1])
    assert SentenceTransformer(str(output / "all"), device="cpu").max_seq_length == 12
    assert not list(output.rglob("*.bin"))
    assert not list(output.rglob("README.md"))  # sentence-transformers' card would quote the training texts

    record = read_record(output)
    assert is_fitted(str(output))
    assert record.finished
    assert record.pairs_digest == make_pairs(24).digest()
    assert sorted(set(record.fold)) == [0, 1]
    assert record.auc.keys() == {"untuned", "validation", "out_of_fold", "in_sample"}
    assert record.auc["validation"].keys() == {"fold-0", "fold-1", "all"}


def test_a_teacher_that_fine_tuning_made_worse_is_said_with_both_figures(fit, tmp_path, make_pairs, capsys):
    right = make_pairs(24)
    wrong = replace(right, label=1 - right.label)
    output = fit(tmp_path / "teacher", replace(CONFIG, epochs=8), pairs=wrong, validation=right)
    found = read_record(output).auc
    assert found["untuned"] > found["validation"]["all"]
    said = " ".join(capsys.readouterr().err.split())
    tuned = found["validation"]["all"]
    figures = f"was {found['untuned']:.3f} and is {tuned:.3f} (standard error {auc_error(right, tuned):.3f})"
    assert figures in said

    fit(tmp_path / "better", replace(CONFIG, epochs=8), pairs=right, validation=right)
    assert "made the teacher worse" not in " ".join(capsys.readouterr().err.split())


def test_a_single_step_is_one_of_training(fit, bi, tmp_path):
    output = fit(tmp_path / "teacher", replace(CONFIG, batch_size=32))
    assert all(differ(weights(bi), weights(output / part)) for part in ("fold-0", "fold-1", "all"))


def test_each_fold_s_teacher_sees_the_other_folds_alone(fit, tmp_path, make_pairs, monkeypatch):
    seen = []
    monkeypatch.setattr("flipkd.teacher.trainer.train", lambda model, kind, pairs, **_: seen.append(set(pairs.texts())))
    pairs = make_pairs(24)
    fold = np.asarray(read_record(fit(tmp_path / "teacher", replace(CONFIG, folds=3))).fold)
    for number in range(3):
        assert seen[number] == set(pairs.select(fold != number).texts())
        assert not seen[number] & set(pairs.select(fold == number).texts())
    assert seen[3] == set(pairs.texts())


def test_pairs_that_hang_together_are_trained_in_one_fold_and_it_is_said(fit, tmp_path, make_pairs, capsys):
    pairs = make_pairs(24)
    chained = replace(pairs, text_b=pairs.text_a[1:] + pairs.text_a[:1])
    record = read_record(fit(tmp_path / "teacher", CONFIG, pairs=chained))
    assert record.folds == 1
    assert record.parts == ["all"]
    assert "trained without folds" in " ".join(capsys.readouterr().err.split())


def test_the_measures_are_those_of_the_teachers(fit, tmp_path, make_pairs):
    from sklearn.metrics import roc_auc_score

    validation = make_pairs(20, seed=50)
    output = fit(tmp_path / "teacher", validation=validation)
    record, pairs = read_record(output), make_pairs(24)
    fold, judged = np.asarray(record.fold), np.empty(24)
    for number in range(2):
        model = SentenceTransformer(str(output / f"fold-{number}"), device="cpu")
        a, b = (model.encode(side, normalize_embeddings=True) for side in (pairs.text_a, pairs.text_b))
        rows = fold == number
        judged[rows] = (a * b).sum(1)[rows]
    assert record.auc["out_of_fold"] == pytest.approx(roc_auc_score(pairs.label, judged), abs=0.01)
    for part, measured in record.auc["validation"].items():
        model = SentenceTransformer(str(output / part), device="cpu")
        a, b = (model.encode(side, normalize_embeddings=True) for side in (validation.text_a, validation.text_b))
        assert measured == pytest.approx(roc_auc_score(validation.label, (a * b).sum(1)), abs=0.01)


def test_training_raises_the_auc_in_sample(fit, bi, tmp_path, make_pairs):
    from sklearn.metrics import roc_auc_score

    pairs = make_pairs(24)
    before = Teacher.load(str(bi), device="cpu", cache=False).similarity(pairs.text_a, pairs.text_b)
    output = fit(tmp_path / "teacher", replace(CONFIG, epochs=8, folds=1), pairs=pairs)
    assert read_record(output).auc["in_sample"] > roc_auc_score(pairs.label, before)


def test_the_same_seed_gives_the_same_teacher(fit, tmp_path):
    config = replace(CONFIG, folds=1)
    one, same, other = (
        weights(fit(tmp_path / name, config, seed=seed) / "all") for name, seed in (("x", 0), ("y", 0), ("z", 1))
    )
    assert not differ(one, same)
    assert differ(one, other)


def test_a_second_call_trains_what_is_missing_and_only_that(fit, tmp_path):
    output = fit(tmp_path / "teacher")
    before = {part: fingerprint(output / part) for part in ("fold-0", "fold-1", "all")}
    times = {part: (output / part / "model.safetensors").stat().st_mtime_ns for part in before}
    shutil.rmtree(output / "fold-1")
    (output / ".fold-1.partial").mkdir()  # what a killed run leaves
    fit(output)
    assert {part: fingerprint(output / part) for part in before} == before
    assert (output / "all" / "model.safetensors").stat().st_mtime_ns == times["all"]
    assert not (output / ".fold-1.partial").exists()


def test_an_interrupted_run_is_not_taken_for_a_teacher_and_goes_on(fit, tmp_path, monkeypatch):
    output = tmp_path / "teacher"
    with monkeypatch.context() as patch:

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        patch.setattr("flipkd.teacher.trainer.train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(output)
    with pytest.raises(FlipkdError, match="unfinished"):
        Teacher.load(str(output), device="cpu")
    fit(output)
    assert read_record(output).finished


@pytest.mark.parametrize("change", ["config", "seed", "pairs", "base"])
def test_a_folder_of_another_teacher_is_left_alone(fit, tmp_path, make_pairs, make_bi, change):
    output = tmp_path / "teacher"
    fit(output, replace(CONFIG, folds=1))
    before = fingerprint(output)
    other = {
        "config": {"config": replace(CONFIG, folds=1, epochs=2)},
        "seed": {"seed": 1},
        "pairs": {"pairs": make_pairs(24, seed=7)},
        "base": {"base": make_bi("other", seed=3)},
    }[change]
    with pytest.raises(FlipkdError, match="another teacher"):
        fit(output, **({"config": replace(CONFIG, folds=1)} | other))
    assert fingerprint(output) == before


def test_a_folder_with_other_things_is_left_alone(fit, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FlipkdError, match="something else"):
        fit(tmp_path)


def test_a_new_validation_is_measured_without_training(fit, tmp_path, make_pairs, monkeypatch):
    config = replace(CONFIG, folds=1)
    output = fit(tmp_path / "teacher", config)
    before = read_record(output)
    monkeypatch.setattr("flipkd.teacher.trainer.train", None)  # calling it would fail
    validation = make_pairs(30, seed=80)
    fit(output, config, validation=validation)
    after = read_record(output)
    assert after.validation_digest == validation.digest() != before.validation_digest
    assert after.auc["in_sample"] == before.auc["in_sample"]


def test_a_cross_encoder_is_fine_tuned_too(fit, cross, tmp_path):
    output = fit(tmp_path / "teacher", replace(CONFIG, folds=1), base=cross)
    assert Teacher.load(str(output), device="cpu", cache=False).kind == "cross"
    assert differ(weights(cross), weights(output / "all"))
    assert read_record(output).auc["validation"] == {}


def test_the_length_limit_is_kept_with_the_teacher(fit, tmp_path):
    output = fit(tmp_path / "teacher", replace(CONFIG, folds=1, max_seq_length=7))
    assert SentenceTransformer(str(output / "all"), device="cpu").max_seq_length == 7


def test_one_class_is_refused_before_anything_is_written(fit, tmp_path, make_pairs):
    pairs = make_pairs(24)
    with pytest.raises(FlipkdError, match="both labels"):
        fit(tmp_path / "teacher", pairs=pairs.select(np.flatnonzero(pairs.label == 1)))
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"folds": 0}, {"epochs": 0}, {"epochs": float("nan")}, {"batch_size": 1}, {"learning_rate": 0}),
        *({"learning_rate": float("nan")}, {"warmup": 1.0}, {"warmup": -0.1}, {"max_seq_length": 0}),
    ],
)
def test_settings_that_cannot_train_are_refused(wrong):
    with pytest.raises(FlipkdError):
        TeacherConfig(**wrong)


def test_a_record_of_another_schema_is_refused(fit, tmp_path):
    output = fit(tmp_path / "teacher", replace(CONFIG, folds=1))
    found = json.loads((output / RECORD).read_text())
    (output / RECORD).write_text(json.dumps(found | {"schema_version": 99}))
    with pytest.raises(FlipkdError, match="schema 99"):
        read_record(output)
    (output / RECORD).write_text("{")
    with pytest.raises(FlipkdError, match="can't be read"):
        read_record(output)


def test_batches_hold_every_pair_once_by_length_and_change_with_the_epoch():
    rng = np.random.default_rng(0)
    data = {"text_a": ["x" * n for n in rng.integers(1, 90, 100)], "text_b": [""] * 100}

    class Rows(dict):
        def __len__(self):
            return 100

    batches = LengthBatches(Rows(data), batch_size=8, drop_last=False, seed=1)
    first = list(batches)
    assert sorted(row for batch in first for row in batch) == list(range(100))
    assert len(first) == len(batches) == 13
    spread = np.mean([np.ptp(batches.lengths[batch]) for batch in first])
    assert spread < 20  # of random batches: about 75
    assert list(batches) == first
    batches.set_epoch(1)
    assert list(batches) != first


@pytest.mark.parametrize("kind", ["bi", "cross"])
def test_each_teacher_is_trained_on_one_gpu(fit, kind, request, tmp_path, monkeypatch):
    """On several the Trainer would multiply the batch."""
    kept = []
    monkeypatch.setattr("flipkd.teacher.trainer.use_one_gpu", lambda args: kept.append(args.train_batch_size))
    fit(tmp_path / "teacher", base=request.getfixturevalue(kind))
    assert kept == [CONFIG.batch_size] * 3


def test_validation_of_one_class_is_refused_before_anything_is_trained(fit, tmp_path, make_pairs):
    pairs = make_pairs(12)
    matches = pairs.select(np.flatnonzero(pairs.label == 1))
    with pytest.raises(FlipkdError, match="the teacher is measured on pairs of both labels"):
        fit(tmp_path / "out", validation=matches)
    assert not (tmp_path / "out").exists()
