import numpy as np
import pytest

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.teacher.leak import auc, check_leak, require_unseen
from flipkd.teacher.record import FitRecord


def table(label):
    n = len(label)
    return PairTable(["a"] * n, ["b"] * n, np.asarray(label), "pairs.csv", list(range(n)), {})


LABELS = table([0, 1, 0, 1, 0, 1])
PERFECT = np.asarray([0, 1, 0, 1, 0, 1], dtype=np.float32)
BLIND = np.zeros(6, dtype=np.float32)


def test_auc_counts_ties_as_halves():
    assert auc(LABELS, PERFECT) == 1
    assert auc(LABELS, BLIND) == 0.5


def test_one_class_is_refused():
    with pytest.raises(FlipkdError, match="0 of 3"):
        auc(table([0, 0, 0]), BLIND[:3])


def test_a_teacher_that_knows_the_training_labels_leaks(said):
    report = check_leak(LABELS, PERFECT, LABELS, BLIND, out_of_fold=False)
    assert report.leaks
    assert (report.auc_train, report.auc_validation) == (1, 0.5)
    assert "seems to have been fitted on the training pairs" in said[0]
    assert "a standard error of 0." in said[0]


def test_one_that_does_as_well_on_validation_does_not(said):
    report = check_leak(LABELS, PERFECT, LABELS, PERFECT, out_of_fold=False)
    assert not report.leaks
    assert said == []


def test_out_of_fold_similarities_cannot_leak(said):
    report = check_leak(LABELS, PERFECT, LABELS, BLIND, out_of_fold=True)
    assert not report.leaks
    assert report.out_of_fold
    assert said == []


def test_folds_that_do_much_better_than_validation_are_warned_of(said):
    label = np.tile([0, 1], 150)
    noise = np.random.default_rng(0).normal(size=300).astype(np.float32)
    knowing, honest = label + 0.4 * noise, label + 1.2 * noise
    pairs = table(label)
    assert not check_leak(pairs, knowing, pairs, honest, out_of_fold=True).leaks
    assert "fine-tuned on these pairs before" in said[0]


def test_folds_that_do_a_little_better_by_chance_are_not(said):
    label = np.tile([0, 1], 30)
    noise = np.random.default_rng(0).normal(size=60).astype(np.float32)
    pairs = table(label)
    report = check_leak(pairs, label + noise, pairs, label + 1.15 * noise, out_of_fold=True)
    assert report.auc_train - report.auc_validation > 0.02
    assert said == []


def test_an_older_teacher_that_keeps_no_word_of_its_pairs_is_warned_of(said):
    record = FitRecord("base", "revision", "bi", 0, {}, "digest", 1, [])
    require_unseen("runs/teacher", record, "validation", LABELS)
    assert "can't be told" in said[0]
