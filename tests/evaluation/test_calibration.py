import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibration import in_words, log_odds_of, mass_bins, measure_calibration, reliability_points


def drawn(n, seed=0):
    """Probabilities, and labels that come true as often as they say."""
    random = np.random.default_rng(seed)
    probability = random.beta(0.8, 1.5, n)
    return probability, (random.uniform(size=n) < probability).astype(int)


def test_perfect_probabilities_have_the_error_of_chance_and_no_more():
    for n in (300, 20_000):
        found = [measure_calibration(logit(p), y) for p, y in (drawn(n, seed) for seed in range(8))]
        assert np.mean([each.ece for each in found]) == pytest.approx(
            np.mean([each.ece_by_chance for each in found]), rel=0.15
        )
    assert found[0].ece < 0.01


def test_too_sure_probabilities_have_an_error():
    probability, label = drawn(5000)
    right, sure = (measure_calibration(scale * logit(probability), label) for scale in (1, 3))
    assert sure.ece > 5 * right.ece
    assert sure.brier > right.brier
    assert sure.log_loss > right.log_loss


def test_figures_by_hand():
    found = measure_calibration(logit([0.2, 0.4, 0.6, 0.9]), [0, 1, 1, 1])
    assert found.brier == pytest.approx((0.04 + 0.36 + 0.16 + 0.01) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.4, 0.6, 0.9]).mean())
    assert found.ece == pytest.approx((0.2 + 0.6 + 0.4 + 0.1) / 4)  # a bin each
    assert found.n == 4


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), min_size=4, max_size=40))
def test_brier_is_reliability_less_resolution_and_uncertainty(rows):
    """Murphy's decomposition, exact where a bin holds one probability."""
    probability, label = np.array([p / 5 for p, _ in rows]), np.array([y for _, y in rows])
    if len(set(label.tolist())) < 2:
        return
    rate = label.mean()
    groups = [(p, label[probability == p]) for p in np.unique(probability)]
    reliability = sum(len(y) * (p - y.mean()) ** 2 for p, y in groups) / len(label)
    resolution = sum(len(y) * (y.mean() - rate) ** 2 for _, y in groups) / len(label)
    found = measure_calibration(logit(probability), label)
    assert found.brier == pytest.approx(reliability - resolution + rate * (1 - rate))
    gaps = [len(y) * abs(p - y.mean()) for p, y in groups]
    assert found.ece <= sum(gaps) / len(label) + 1e-9  # bins of several probabilities can only level out


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.data())
def test_bins_are_even_keep_equal_values_together_and_know_no_order(values, data):
    where = mass_bins(values)
    assert set(where) == set(range(where.max() + 1))
    for value in set(values):
        assert len(set(where[np.array(values) == value])) == 1
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert (mass_bins(np.array(values)[order]) == where[order]).all()


def test_bins_of_distinct_values_hold_equally_many():
    sizes = np.bincount(mass_bins(np.random.default_rng(0).permutation(97)))
    assert len(sizes) == 10
    assert sizes.max() - sizes.min() <= 1


def test_points_say_what_was_said_and_seen():
    said, seen, pairs = reliability_points([0.1, 0.2, 0.6, 0.5, 0.7, 0.9], [0, 0, 0, 1, 1, 1], bins=2)
    np.testing.assert_allclose(said, [0.8 / 3, 2.2 / 3])
    np.testing.assert_allclose(seen, [1 / 3, 2 / 3])
    assert pairs.tolist() == [3, 3]


def test_a_sure_and_wrong_decoder_has_a_finite_loss():
    assert measure_calibration([-2000.0, 1.0], [1, 0]).log_loss == pytest.approx((2000 + 1.3133) / 2, abs=1e-3)


def test_log_odds_of_certainty_are_finite():
    found = log_odds_of([0.0, 0.25, 1.0])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(expit(found), [0, 0.25, 1], atol=1e-12)


def test_words_have_both_sides_or_one():
    found = measure_calibration(logit([0.2, 0.9]), [0, 1])
    assert in_words(found, found).count("->") == 3
    assert "->" not in in_words(None, found)


def test_one_class_or_nan_is_refused():
    with pytest.raises(FlipkdError):
        measure_calibration([0.0, 1.0], [1, 1])
    with pytest.raises(FlipkdError):
        measure_calibration([0.0, np.nan], [0, 1])
