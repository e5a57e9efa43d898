from dataclasses import replace

import numpy as np
import pytest

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.teacher import training
from flipkd.teacher.record import read_record
from flipkd.teacher.signal import _warn_of_soft_labels, training_signal
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.training import TeacherConfig, fit_teacher

UNLABELLED = ["a text of its own", "another one"]
CONFIG = TeacherConfig(epochs=1, batch_size=8, learning_rate=5e-3)


@pytest.fixture
def read(cache, make_pairs):
    def run(teacher, pairs=None, unlabelled=UNLABELLED):
        return training_signal(
            str(teacher),
            pairs or make_pairs(24),
            make_pairs(20, seed=50),
            unlabelled,
            cache_dir=cache,
            device="cpu",
        )

    return run


@pytest.fixture
def fitted(bi, cross, make_pairs, tmp_path, cache):
    def run(kind="bi", folds=2):
        base = bi if kind == "bi" else cross
        config = TeacherConfig(epochs=1, batch_size=8, learning_rate=5e-3, folds=folds)
        fit_teacher(str(base), make_pairs(24), tmp_path / "teacher", config, seed=0, device="cpu", cache_dir=cache)
        return tmp_path / "teacher"

    return run


def load(folder):
    return Teacher.load(str(folder), device="cpu", cache=False)


def test_a_brought_teacher_reads_all_texts_in_one_geometry(bi, read, make_pairs):
    teacher, signal, _ = read(bi)
    pairs = make_pairs(24)
    assert signal.texts == [*pairs.texts(), *UNLABELLED]
    assert signal.row_of[UNLABELLED[1]] == len(signal.texts) - 1
    assert set(signal.geometry) == {0}
    np.testing.assert_allclose(signal.vectors, teacher.vectors(signal.texts), atol=1e-6)
    np.testing.assert_allclose(signal.pair_similarity, teacher.similarity(pairs.text_a, pairs.text_b), atol=1e-6)


def test_out_of_fold_each_text_is_read_by_the_teacher_that_did_not_see_it(fitted, read, make_pairs):
    folder = fitted()
    teacher, signal, leak = read(folder)
    pairs, fold = make_pairs(24), np.asarray(read_record(folder).fold)
    for number in range(2):
        judge = load(folder / f"fold-{number}")
        own = pairs.select(fold == number)
        rows = [signal.row_of[text] for text in own.texts()]
        assert set(signal.geometry[rows]) == {number}
        np.testing.assert_allclose(signal.vectors[rows], judge.vectors(own.texts()), atol=1e-5)
        expected = judge.similarity(own.text_a, own.text_b)
        np.testing.assert_allclose(signal.pair_similarity[fold == number], expected, atol=1e-5)
    rest = [signal.row_of[text] for text in UNLABELLED]
    assert set(signal.geometry[rest]) == {2}
    np.testing.assert_allclose(signal.vectors[rest], load(folder / "all").vectors(UNLABELLED), atol=1e-5)
    assert teacher.revision == load(folder / "all").revision
    assert leak.out_of_fold
    assert not signal.mask_pairs


def test_an_unlabelled_text_of_the_pairs_is_not_read_twice(fitted, read, make_pairs):
    known = make_pairs(24).text_a[3]
    _, signal, _ = read(fitted(), unlabelled=[known, "new", "new"])
    assert signal.texts.count(known) == signal.texts.count("new") == 1
    assert signal.geometry[signal.row_of[known]] < 2


def test_on_other_pairs_a_fitted_teacher_counts_as_brought(fitted, read, make_pairs, said):
    folder = fitted()
    other = make_pairs(24, seed=9)
    _, signal, leak = read(folder, pairs=other)
    assert set(signal.geometry) == {0}
    np.testing.assert_allclose(signal.vectors, load(folder / "all").vectors(signal.texts), atol=1e-5)
    assert not leak.out_of_fold
    assert any("other pairs" in line for line in said)


def test_without_folds_a_fitted_teacher_is_checked_like_a_brought_one(bi, read, make_pairs, tmp_path, cache):
    config = TeacherConfig(epochs=12, batch_size=8, learning_rate=1e-2, folds=1)
    fit_teacher(str(bi), make_pairs(24), tmp_path / "teacher", config, seed=0, device="cpu", cache_dir=cache)
    _, signal, leak = read(tmp_path / "teacher")
    assert leak.auc_train > leak.auc_validation + 0.02
    assert not leak.out_of_fold
    assert signal.mask_pairs


def test_a_brought_teacher_as_good_on_validation_is_not_masked(bi, read, monkeypatch):
    monkeypatch.setattr("flipkd.teacher.leak.LARGEST_GAP", 1.0)
    _, signal, leak = read(bi)
    assert not signal.mask_pairs
    assert 0 <= leak.auc_validation <= 1


@pytest.mark.parametrize("lacking", ["pairs", "validation"])
def test_pairs_of_one_label_are_refused_before_a_teacher_is_read(make_pairs, lacking):
    tables = {"pairs": make_pairs(24), "validation": make_pairs(20)}
    tables[lacking] = replace(tables[lacking], label=np.ones_like(tables[lacking].label))
    with pytest.raises(FlipkdError, match="pairs of both labels"):
        training_signal("no/such/teacher", **tables, unlabelled=[])


def test_a_cross_encoder_gives_similarities_of_pairs_alone(cross, read, make_pairs):
    teacher, signal, _ = read(cross)
    pairs = make_pairs(24)
    assert signal.vectors is None
    np.testing.assert_array_equal(signal.pair_similarity, teacher.similarity(pairs.text_a, pairs.text_b))


def test_cross_encoders_out_of_fold(fitted, read, make_pairs):
    folder = fitted("cross")
    _, signal, leak = read(folder)
    pairs, fold = make_pairs(24), np.asarray(read_record(folder).fold)
    for number in range(2):
        own = pairs.select(fold == number)
        expected = load(folder / f"fold-{number}").similarity(own.text_a, own.text_b)
        np.testing.assert_allclose(signal.pair_similarity[fold == number], expected, atol=1e-6)
    assert leak.out_of_fold


def test_what_the_training_measured_is_not_encoded_again(fitted, read, monkeypatch):
    folder = fitted()
    encoded = []
    true = Teacher._encode

    def counted(self, texts):
        encoded.append(len(texts))
        return true(self, texts)

    monkeypatch.setattr(Teacher, "_encode", counted)
    read(folder, unlabelled=[])
    assert encoded == [40]  # validation alone, which the training was not given


def test_fitted_is_known_by_its_record(fitted, bi):
    assert training.is_fitted(str(fitted()))
    assert not training.is_fitted(str(bi))
    assert not training.is_fitted("minilm")


def test_soft_labels_are_calibrated_on_pairs_the_teacher_did_not_see(fitted, read, make_pairs):
    folder = fitted()
    _, signal, _ = read(folder)
    pairs, fold = make_pairs(24), np.asarray(read_record(folder).fold)
    for number in range(2):
        own = fold == number
        probability = signal.probability(signal.pair_similarity[own], np.full(own.sum(), number))
        # A logistic model with an offset gives the share of matches among the pairs it is fitted on.
        assert probability.mean() == pytest.approx(pairs.label[own].mean(), abs=0.01)
    chief, held_out = load(folder / "all"), make_pairs(20, seed=50)
    probability = signal.probability(chief.similarity(held_out.text_a, held_out.text_b), np.full(20, 2))
    assert probability.mean() == pytest.approx(held_out.label.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("n", "slope", "words"),
    [(6, 5.0, "3 of a class are few"), (60, -5.2, "a higher similarity means fewer matches"), (60, 5.0, None)],
)
def test_soft_labels_that_may_mislead_are_told(n, slope, words, said):
    _warn_of_soft_labels(slope, PairTable(["a"] * n, ["b"] * n, np.arange(n) % 2, "v.csv", list(range(n)), {}))
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_a_brought_teachers_soft_labels_are_looked_at_and_those_of_folds_not(bi, fitted, read, monkeypatch):
    looked = []
    monkeypatch.setattr("flipkd.teacher.signal._warn_of_soft_labels", lambda *given: looked.append(given))
    monkeypatch.setattr("flipkd.teacher.leak.LARGEST_GAP", 1.0)  # nothing leaks
    _, signal, _ = read(bi)
    assert [slope for slope, _ in looked] == [signal.calibration[0, 0]]
    looked.clear()
    read(fitted())
    assert looked == []
