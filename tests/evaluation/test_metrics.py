import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.metrics import Metrics, measure, rank_correlation

# Few distinct values, so that ties are common.
TIED = st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 1)), min_size=2, max_size=12).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def test_value_by_hand():
    # At 0.5: hits 0.9 and 0.5, false alarm 0.7, miss 0.1, rightly refused 0.2.
    metrics = measure([0.9, 0.7, 0.5, 0.2, 0.1], [1, 0, 1, 0, 1], 0.5)
    assert (metrics.precision, metrics.recall, metrics.f1, metrics.accuracy) == pytest.approx(
        (2 / 3, 2 / 3, 2 / 3, 0.6)
    )
    # Precision at the three matches from the top: 1/1, 2/3, 3/5.
    assert metrics.ap == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Of six (match, non-match) pairs, 0.9 wins both, 0.5 one, 0.1 none.
    assert metrics.auc == pytest.approx(3 / 6)
    assert (metrics.threshold, metrics.n, metrics.spearman_teacher) == (0.5, 5, None)


def test_a_value_on_the_threshold_is_a_match():
    assert measure([0.5, 0.4], [1, 0], 0.5).recall == 1


def test_nothing_called_a_match_gives_zeros():
    metrics = measure([0.1, 0.2], [1, 0], 5.0)
    assert (metrics.precision, metrics.recall, metrics.f1, metrics.accuracy) == (0, 0, 0, 0.5)


@given(TIED, st.data())
def test_the_order_of_rows_changes_nothing_even_with_ties(rows, data):
    shuffled = data.draw(st.permutations(rows))
    straight, moved = (measure(*zip(*each, strict=True), 0.0) for each in (rows, shuffled))
    assert list(straight.as_dict().values())[:-1] == pytest.approx(list(moved.as_dict().values())[:-1])


def test_all_tied_values_rank_nothing():
    metrics = measure([1, 1, 1, 1], [1, 0, 0, 0], 0)
    assert (metrics.auc, metrics.ap) == (0.5, 0.25)


def test_spearman_with_the_teacher():
    value, teacher = [1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.4, 0.3]
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 0, 1, 1.
    assert measure(value, [0, 0, 1, 1], 2, teacher).spearman_teacher == pytest.approx(1 - 12 / 60)


def test_a_constant_side_has_no_rank_correlation():
    assert rank_correlation([1, 2, 3], [0.5, 0.5, 0.5]) is None
    assert rank_correlation([0.5], [0.5]) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_row(bad):
    with pytest.raises(FlipkdError, match="first at row 1"):
        measure([0.5, bad, 0.1], [1, 0, 1], 0)


@pytest.mark.parametrize("label", [[1, 1], [0, 0], [1, 2], [1, 0, 1], []])
def test_labels_that_cannot_be_measured_are_refused(label):
    with pytest.raises(FlipkdError):
        measure([0.1, 0.2], label, 0)


def test_one_class_says_how_many_and_what_to_do():
    with pytest.raises(FlipkdError, match=r"2 matches and 0 non-matches.*Add pairs"):
        measure([0.1, 0.2], [1, 1], 0)


def test_as_dict_holds_the_keys_of_metrics_json():
    metrics = measure([0.9, 0.1], [1, 0], 0.5)
    assert {"f1", "accuracy", "precision", "recall", "ap", "auc", "threshold", "n"} <= set(metrics.as_dict())
    assert Metrics(**metrics.as_dict()) == metrics
