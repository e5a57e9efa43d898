import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.thresholds import best_threshold

TARGET = st.sampled_from(["f1", "accuracy"])
VALUE = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))


def rows(value):
    pairs = st.lists(st.tuples(value, st.integers(0, 1)), min_size=2, max_size=12)
    return pairs.filter(lambda pairs: len({label for _, label in pairs}) == 2)


def unzip(pairs):
    value, label = zip(*pairs, strict=True)
    return np.array(value), np.array(label)


def quality(value, label, threshold, target):
    match = value >= threshold
    if target == "accuracy":
        return (match == (label == 1)).mean()
    return 2 * (match & (label == 1)).sum() / (match.sum() + label.sum())


@given(rows(VALUE), TARGET)
def test_no_other_threshold_does_better(pairs, target):
    value, label = unzip(pairs)
    best = quality(value, label, best_threshold(value, label, target), target)
    everywhere = [*value, np.nextafter(value.max(), np.inf)]  # at or between the values, and beyond
    assert best == pytest.approx(max(quality(value, label, cut, target) for cut in everywhere))


@given(rows(st.integers(-5, 5).map(float)), TARGET)
def test_never_on_a_value(pairs, target):
    value, label = unzip(pairs)
    assert best_threshold(value, label, target) not in value


@given(
    rows(st.integers(-20, 20).map(float)),
    TARGET,
    st.sampled_from([np.exp, np.cbrt, np.tanh, lambda x: 3 * x - 7]),
)
def test_growing_transforms_decide_alike(pairs, target, transform):
    value, label = unzip(pairs)
    value = value / 10
    moved = transform(value)
    straight = value >= best_threshold(value, label, target)
    assert (straight == (moved >= best_threshold(moved, label, target))).all()


@given(rows(st.integers(-3, 3).map(float)), TARGET, st.data())
def test_the_order_of_rows_changes_nothing(pairs, target, data):
    shuffled = data.draw(st.permutations(pairs))
    assert best_threshold(*unzip(pairs), target) == best_threshold(*unzip(shuffled), target)


def test_lies_midway():
    assert best_threshold([0.0, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_everything_may_be_a_match():
    value = np.array([0.3, 0.1, 0.2])
    assert (value >= best_threshold(value, [0, 1, 1])).all()


def test_nothing_may_be_a_match_for_accuracy():
    value = np.array([0.3, 0.1, 0.2, 0.25])
    assert not (value >= best_threshold(value, [0, 1, 0, 0], "accuracy")).any()


def test_equal_values_are_decided_alike():
    threshold = best_threshold([1.0, 1.0, 1.0], [1, 0, 0], "accuracy")
    assert threshold > 1


def test_neighbouring_floats_are_still_told_apart():
    low = 1.0
    high = np.nextafter(low, 2)
    assert low < best_threshold([low, high], [0, 1]) <= high


def test_huge_values_stay_finite():
    assert 1.6e308 < best_threshold([1.6e308, 1.7e308], [0, 1]) < 1.7e308
    assert -1.7e308 < best_threshold([-1.7e308, 1.7e308], [0, 1]) < 1.7e308
    # Here 1 more is no more, yet the threshold must lie above.
    assert best_threshold([1e300, 1e300, 1e300], [1, 0, 0], "accuracy") > 1e300


def test_one_class_or_nan_is_refused():
    with pytest.raises(FlipkdError):
        best_threshold([0.1, 0.2], [1, 1])
    with pytest.raises(FlipkdError):
        best_threshold([0.1, np.nan], [1, 0])
