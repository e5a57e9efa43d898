import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibrators import (
    Steps,
    at_prior,
    copies,
    cross_fit,
    fit_logistic,
    fit_steps,
    mean_and_error,
    prior_shift,
)

# A few values, so that many are equal.
ROWS = st.lists(
    st.tuples(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)), st.integers(0, 1)),
    min_size=2,
    max_size=20,
).filter(lambda rows: len({label for _, label in rows}) == 2)
SHARE = st.floats(1e-3, 1 - 1e-3)


def unzip(rows):
    value, label = zip(*rows, strict=True)
    return np.array(value), np.array(label)


@given(ROWS, st.lists(st.floats(-2e6, 2e6), min_size=2))
def test_steps_rise_and_stay_finite_everywhere(rows, asked):
    steps = fit_steps(*unzip(rows))
    asked = np.sort(asked)
    assert np.isfinite(steps(asked)).all()
    assert (np.diff(steps(asked)) >= 0).all()


@given(ROWS)
def test_no_step_says_0_or_1_more_surely_than_its_pairs_warrant(rows):
    value, label = unzip(rows)
    level = expit(fit_steps(value, label).log_odds)
    assert level.min() >= 1 / (len(label) + 2) - 1e-9
    assert level.max() <= 1 - 1 / (len(label) + 2) + 1e-9


@given(st.integers(0, 2**32 - 1), SHARE, SHARE)
def test_steps_move_to_any_prior(seed, rate, prior):
    rng = np.random.default_rng(seed)
    value = np.round(rng.normal(size=300) * 3, 1)
    steps = fit_steps(value, (rng.random(300) < expit(value)).astype(int))
    by = prior_shift(rate, prior)
    np.testing.assert_allclose(steps.moved(by)(value), steps(value) + by, atol=1e-6)


def test_levels_that_rounding_parts_are_one_step():
    rng = np.random.default_rng(367)  # Two of its levels differ by rounding alone.
    value = rng.normal(size=int(rng.choice([60, 120, 300, 600]))) * 2
    steps = fit_steps(value, (rng.random(len(value)) < expit(value)).astype(int))
    assert np.diff(steps.log_odds).min() > 1e-6


def test_levels_that_rounding_parts_move_as_one():
    # 1/7 and 2/14 as log-odds, as an artefact of before may hold them.
    near = Steps((0.0, 1.0, 2.0), (-1.7917594692280552, -1.791759469228055, 0.0))
    assert near.moved(-8.0) == Steps((0.0, 2.0), (-1.7917594692280552 - 8, -8.0))


def test_steps_by_hand():
    # A match more at -2 and a non-match more at 3: the levels are 1/3 (two pairs and one more), 1/2, 2/3.
    steps = fit_steps(np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]), np.array([0, 0, 1, 0, 1, 1]))
    np.testing.assert_allclose(expit(steps.log_odds), [1 / 3, 1 / 2, 2 / 3])
    np.testing.assert_allclose(steps.knots, [(-2 - 2 - 1) / 3, 0.5, (2 + 3 + 3) / 3])
    # Straight in between, parallel to the logistic model beyond.
    assert steps([0.5]) == pytest.approx([0.0])
    assert steps([9.0])[0] - steps([7.0])[0] == pytest.approx(2.0)


def test_knots_that_almost_touch_stay_finite_and_between_their_levels():
    steps = Steps((-1.5e-311, 2.2e-311), (-0.7, 0.0))
    assert -0.7 <= steps([0.0])[0] <= 0
    assert steps([2.2e-311]) == pytest.approx([0.0])


def test_ranks_stay_what_they_were():
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 400)
    value = label + random.normal(size=400)
    assert (np.argsort(fit_steps(value, label)(value)) == np.argsort(value)).all()


def test_a_constant_is_one_step_at_the_base_rate():
    steps = fit_steps(np.full(18, 4.0), np.arange(18) % 3 == 0)
    assert steps.knots == (4.0,)
    assert expit(steps([4.0])) == pytest.approx([7 / 20])


@given(ROWS)
def test_come_back_from_json_to_the_bit(rows):
    steps = fit_steps(*unzip(rows))
    assert Steps.from_dict(json.loads(json.dumps(steps.as_dict()))) == steps


@pytest.mark.parametrize(
    ("knots", "log_odds"), [((), ()), ((0.0, 1.0), (0.0,)), ((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (0.0, np.inf))]
)
def test_edited_steps_are_refused(knots, log_odds):
    with pytest.raises(FlipkdError, match="finite, rising numbers"):
        Steps(knots, log_odds)


def bent(n, seed=0):
    """A signal whose probability is no logistic curve: matches never fall below a share of 0.3."""
    value = np.random.default_rng(seed).uniform(-4, 4, n)
    truth = 0.3 + 0.7 * expit(8 * (value - 1))
    return value, (np.random.default_rng(seed + 1).uniform(size=n) < truth).astype(np.int64), truth


def test_steps_follow_a_curve_that_the_logistic_model_misses():
    value, label, _ = bent(3000)
    weights, bias = fit_logistic(value[:, None], label)
    new, _, truth = bent(2000, seed=9)
    fused = new * weights[0] + bias
    by_steps = expit(fit_steps(value * weights[0] + bias, label)(fused))
    assert np.abs(by_steps - truth).mean() < 0.5 * np.abs(expit(fused) - truth).mean()


def test_cross_fitted_steps_have_their_own_loss_and_probability():
    value, label, _ = bent(400)
    (loss, probability), (logistic, _) = (cross_fit(value[:, None], label, 0, steps=each) for each in (True, False))
    assert loss.mean() < logistic.mean()
    assert ((probability > 0) & (probability < 1)).all()


def test_copies_are_numbered_as_they_first_come():
    assert copies(np.array([[2.0, 1], [0, 1], [2, 1], [2, 0], [0, 1]])).tolist() == [0, 1, 0, 2, 1]


def test_where_copies_are_all_there_is_they_are_parted_and_that_is_said(capsys):
    label = np.arange(40) % 2
    cross_fit(label[:, None].astype(np.float64), label, 0)
    assert "copies are parted by the folds" in " ".join(capsys.readouterr().err.split())


def test_the_error_of_a_mean_is_that_of_its_groups():
    gain = np.random.default_rng(0).normal(size=50)
    mean, error = mean_and_error(gain, np.arange(50))
    assert (mean, error) == pytest.approx((gain.mean(), gain.std(ddof=1) / np.sqrt(50)))
    assert mean_and_error(np.repeat(gain, 4), np.repeat(np.arange(50), 4)) == pytest.approx((mean, error))


@given(SHARE, SHARE, SHARE)
def test_a_prior_shift_is_undone_by_the_way_back(rate, prior, probability):
    there = at_prior([probability], rate, prior)
    assert at_prior(there, prior, rate) == pytest.approx([probability], rel=1e-6)
    assert logit(there) == pytest.approx(logit([probability]) + prior_shift(rate, prior), abs=1e-6)


def test_at_another_rate_probabilities_are_those_of_resampled_pairs():
    random = np.random.default_rng(0)
    label = (random.uniform(size=60_000) < 0.5).astype(int)
    value = random.normal(size=60_000) + 2 * label
    probability = expit(2 * value - 2)
    # Keep a tenth of the matches: 1 match in 11 pairs.
    kept = (label == 0) | (random.uniform(size=60_000) < 0.1)
    moved = at_prior(probability[kept], 0.5, 1 / 11)
    for low in (0.05, 0.3, 0.6):
        inside = (moved >= low) & (moved < low + 0.2)
        assert label[kept][inside].mean() == pytest.approx(moved[inside].mean(), abs=0.04)


@given(SHARE)
def test_the_same_rate_moves_nothing(rate):
    assert prior_shift(rate, rate) == 0


def test_certainty_stays_certain_at_any_rate():
    assert at_prior([0.0, 1.0], 0.3, 0.01).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_a_prior_that_is_no_share_is_refused(prior):
    with pytest.raises(FlipkdError, match="above 0 and below 1"):
        prior_shift(0.5, prior)


def test_the_logistic_models_mean_is_the_match_rate():
    random = np.random.default_rng(0)
    label = (np.arange(300) % 3 == 0).astype(int)
    value = random.normal(size=300) + label
    weights, bias = fit_logistic(value[:, None], label)
    # The bias carries no penalty, so the residuals sum to 0.
    assert expit(value * weights[0] + bias).mean() == pytest.approx(1 / 3, abs=1e-4)
