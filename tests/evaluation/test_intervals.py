import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from flipkd.errors import FlipkdError
from flipkd.evaluation.intervals import Estimate, draw_rows, estimate, mean_sd, paired_interval

METRICS = ("f1", "accuracy", "ap", "auc")


def sample(n=300, seed=0, quality=1.0):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 2)
    return label, quality * label + rng.normal(size=n)


def each(label):
    """Every row a group of its own."""
    return np.arange(len(label))


def said(metric, value):
    return value >= 0.5 if metric in ("f1", "accuracy") else value


@st.composite
def tied_pairs(draw):
    """Labels of both classes with values from a few, so that many are tied within and across the classes."""
    n = draw(st.integers(2, 25))
    label = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))]
    value = draw(st.lists(st.sampled_from([-2.5, -0.0, 0.0, 1e-9, 1.0, 7.0]), min_size=n, max_size=n))
    return np.array(label), np.array(value)


@given(tied_pairs(), st.integers(0, 5))
@settings(max_examples=80)
def test_a_replicate_equals_sklearn_on_the_repeated_rows(pairs, seed):
    label, value = pairs
    counts = draw_rows(label, each(label), replicates=5, seed=seed)
    found = {metric: estimate(metric, label, said(metric, value), counts) for metric in METRICS}
    for replicate, times in enumerate(counts.T.astype(int)):
        repeated, values = np.repeat(label, times), np.repeat(value, times)
        assert found["f1"].drawn[replicate] == pytest.approx(f1_score(repeated, values >= 0.5, zero_division=0))
        assert found["accuracy"].drawn[replicate] == pytest.approx(accuracy_score(repeated, values >= 0.5))
        assert found["ap"].drawn[replicate] == pytest.approx(average_precision_score(repeated, values))
        assert found["auc"].drawn[replicate] == pytest.approx(roc_auc_score(repeated, values))
    assert found["ap"].whole == pytest.approx(average_precision_score(label, value))
    assert found["auc"].whole == pytest.approx(roc_auc_score(label, value))
    assert found["f1"].whole == pytest.approx(f1_score(label, value >= 0.5, zero_division=0))


@given(st.integers(1, 11), st.integers(0, 99))
def test_every_replicate_holds_both_classes_and_n_rows(matches, seed):
    label = np.array([1] * matches + [0] * (12 - matches))
    counts = draw_rows(label, each(label), replicates=200, seed=seed)
    assert counts.shape == (12, 200)
    assert (counts.sum(axis=0) == 12).all()
    drawn = label @ counts
    assert drawn.min() >= 1
    assert drawn.max() <= 11


def test_pairs_that_share_a_text_are_drawn_together_and_widen_the_interval():
    label, value = sample(100)
    alone = draw_rows(np.tile(label, 4), np.arange(400))
    together = draw_rows(np.tile(label, 4), np.tile(np.arange(100), 4))
    assert all(np.array_equal(together[:100], copy) for copy in np.split(together, 4)[1:])
    spread = [estimate("ap", np.tile(label, 4), np.tile(value, 4), counts).drawn.std() for counts in (alone, together)]
    assert spread[1] > 1.7 * spread[0]


def test_rows_are_drawn_alike_for_one_seed_and_otherwise_for_another():
    label, _ = sample()
    assert np.array_equal(draw_rows(label, each(label), 10), draw_rows(label, each(label), 10))
    assert not np.array_equal(draw_rows(label, each(label), 10), draw_rows(label, each(label), 10, seed=1))


def test_rows_of_one_class_cannot_be_drawn():
    with pytest.raises(FlipkdError, match="0 non-matches"):
        draw_rows(np.ones(5), np.arange(5))


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_of_a_method_with_itself_is_nothing(metric):
    label, value = sample()
    one = {0: estimate(metric, label, said(metric, value), draw_rows(label, each(label), 200))}
    interval = paired_interval(one, one)
    assert (interval.difference, interval.low, interval.high, interval.half_width) == (0, 0, 0, 0)
    assert not interval.settled


@pytest.mark.parametrize("metric", METRICS)
def test_a_much_better_method_is_ahead_and_the_worse_one_as_far_behind(metric):
    label, value = sample()
    better = {0: estimate(metric, label, said(metric, value + 2 * label - 1), draw_rows(label, each(label)))}
    worse = {0: estimate(metric, label, said(metric, value), draw_rows(label, each(label)))}
    ahead, behind = paired_interval(better, worse), paired_interval(worse, better)
    assert 0 < ahead.low < ahead.difference < ahead.high
    assert ahead.settled
    assert behind.settled
    assert (behind.low, behind.high) == pytest.approx((-ahead.high, -ahead.low))


def test_pairing_makes_the_interval_of_like_methods_narrow():
    label, value = sample()
    counts, near = (
        draw_rows(label, each(label)),
        value + np.random.default_rng(1).normal(scale=0.05, size=len(value)),
    )
    one, like = ({0: estimate("ap", label, each, counts)} for each in (value, near))
    apart = {0: estimate("ap", label, near, draw_rows(label, each(label), seed=1))}
    assert paired_interval(one, like).half_width < paired_interval(one, apart).half_width / 3


def test_the_interval_is_about_as_wide_as_theory_has_it():
    # Accuracy-like: F1 with every row a match called with chance p varies as 2p / (1 + p), whose slope is known.
    label = np.array([1] * 400 + [0])
    called, never = np.arange(401) % 2 == 0, np.zeros(401, dtype=bool)
    called[-1] = False
    counts = draw_rows(label, each(label))
    interval = paired_interval(*({0: estimate("f1", label, each, counts)} for each in (called, never)))
    p = called.sum() / 400
    deviation = 2 / (1 + p) ** 2 * np.sqrt(p * (1 - p) / 400)
    assert interval.half_width == pytest.approx(1.96 * deviation, rel=0.1)


def test_seeds_are_averaged_over_those_both_have():
    drawn = np.linspace(0, 1, 101)
    left = {0: Estimate(0.5, drawn), 1: Estimate(0.7, drawn + 0.2), 2: Estimate(9.0, drawn + 9)}
    right = {0: Estimate(0.4, 0 * drawn), 1: Estimate(0.4, 0 * drawn), 3: Estimate(-9.0, drawn)}
    interval = paired_interval(left, right)
    assert interval.difference == pytest.approx(0.2)
    assert (interval.low, interval.high) == pytest.approx((0.125, 1.075))
    assert interval.seeds == 2
    assert paired_interval({0: left[0]}, {3: right[3]}) is None


def test_seeds_that_disagree_settle_nothing_if_they_are_drawn_anew():
    """Three trainings of which one is behind: sure on other test pairs, not with other trainings."""
    noise = np.random.default_rng(0).normal(scale=0.01, size=2000)
    none = dict.fromkeys(range(3), Estimate(0.0, 0 * noise))
    apart = {seed: Estimate(mean, mean + noise) for seed, mean in enumerate((0.05, 0.05, -0.01))}
    alike = {seed: Estimate(0.03, 0.03 + noise) for seed in range(3)}
    interval = paired_interval(apart, none)
    assert interval.settled
    assert not interval.settled_anew
    assert paired_interval(alike, none).settled_anew
    # The means of three draws from the three seeds: in 1 of 27 all are the one behind.
    assert interval.anew == pytest.approx((-0.01, 0.05), abs=0.025)


def test_a_single_seed_has_no_other_to_draw():
    one, other = ({0: Estimate(mean, mean + np.linspace(-0.1, 0.1, 50))} for mean in (0.2, 0.1))
    interval = paired_interval(one, other)
    assert interval.anew == (interval.low, interval.high)


def test_mean_and_deviation():
    assert mean_sd([0.6, 0.7, 0.8]) == pytest.approx((0.7, 0.1))
    assert mean_sd([0.6]) == (0.6, None)
    with pytest.raises(FlipkdError, match="no value"):
        mean_sd([])
