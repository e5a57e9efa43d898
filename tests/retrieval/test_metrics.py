"""Rankings measured: against scikit-learn where it says the same thing, by hand elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from flipkd.retrieval.metrics import mrr, ndcg, ranked, success


@st.composite
def asked(draw):
    """Values without ties, and grades of which each row holds one that is not 0."""
    queries, entries = draw(st.integers(1, 5)), draw(st.integers(2, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    value = rng.permuted(np.tile(np.arange(entries, dtype=float), (queries, 1)), axis=1)
    grades = rng.integers(0, 4, (queries, entries)).astype(np.int8)
    grades[:, 0] = rng.integers(1, 4, queries)
    return value, grades


@given(asked(), st.integers(1, 12))
def test_ndcg_is_that_of_scikit_learn(case, depth):
    value, grades = case
    expected = [ndcg_score([g], [v], k=depth, ignore_ties=True) for g, v in zip(grades, value, strict=True)]
    np.testing.assert_allclose(ndcg(ranked(value), grades, depth), expected)


@given(asked())
def test_reciprocal_rank_of_one_relevant_entry_is_its_average_precision(case):
    value, grades = case
    grades = np.where(np.arange(grades.shape[1]) == 0, grades, 0)
    expected = [label_ranking_average_precision_score([g > 0], [v]) for g, v in zip(grades, value, strict=True)]
    np.testing.assert_allclose(mrr(ranked(value), grades, depth=value.shape[1]), expected)


@given(asked())
def test_ranks_behind_the_depth_change_nothing(case):
    value, grades = case
    for metric in (ndcg, mrr, success):
        np.testing.assert_array_equal(metric(ranked(value, 10), grades), metric(ranked(value), grades))


def test_ties_are_ranked_in_the_order_of_the_entries():
    np.testing.assert_array_equal(ranked(np.array([[1.0, 2.0, 1.0, 2.0, 3.0]])), [[4, 1, 3, 0, 2]])


def test_figures_by_hand():
    grades = np.array([[0, 2, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]], dtype=np.int8)
    ranking = np.array([[0, 2, 1], [0, 1, 2], [0, 1, 2]])
    best = 2 + 1 / np.log2(3)
    np.testing.assert_allclose(ndcg(ranking, grades), [(1 / np.log2(3) + 2 / 2) / best, 0, 1])
    np.testing.assert_allclose(mrr(ranking, grades), [1 / 2, 0, 1])
    np.testing.assert_allclose(success(ranking, grades), [0, 0, 1])


def test_a_grade_of_two_gains_twice_that_of_one():
    grades = np.array([[2, 1]], dtype=np.int8)
    swapped = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    assert ndcg(np.array([[1, 0]]), grades)[0] == pytest.approx(swapped)


def test_the_tenth_rank_counts_and_the_eleventh_does_not():
    grades = np.zeros((2, 12), dtype=np.int8)
    grades[0, 9] = grades[1, 10] = 1
    np.testing.assert_allclose(mrr(np.tile(np.arange(12), (2, 1)), grades), [0.1, 0])
