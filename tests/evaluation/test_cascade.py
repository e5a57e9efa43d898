import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer, fit_answer
from flipkd.evaluation.calibrators import fit_logistic
from flipkd.evaluation.cascade import BEYOND, Band, fit_band, turning_point, widest
from flipkd.evaluation.cascade_curve import BUDGETS, speed_curve
from flipkd.evaluation.policies import Policy, decide

BOTH = ("decoder", "encoder")


def pairs(n=400, seed=0, encoder=3.0):
    """Labels and two signals: a decoder that knows more, an encoder that is sure far from its turning point."""
    random = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    return {
        "decoder": 4 * (random.normal(size=n) + 2.5 * label) - 5,
        "encoder": np.clip(0.1 * (random.normal(size=n) + encoder * label) + 0.4, -1, 1),
    }, label


def fitted(n=400, seed=0, **options):
    signals, label = pairs(n, seed, **options)
    weights, bias = fit_logistic(np.stack([signals[source] for source in BOTH], axis=1), label)
    return Answer(BOTH, tuple(weights.tolist()), bias, 0.45, "fitted for the test"), signals, label


def skips(similarity, low, high):
    return (similarity < low) | (similarity >= high)


# A few values, so that many are equal.
SIMILARITIES = st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=1, max_size=12)


@given(SIMILARITIES, st.integers(-14, 14), st.integers(0, 4))
def test_no_other_band_skips_more_within_the_allowed_changes(rows, turn, allowed):
    similarity = np.array([value for value, _ in rows]) / 6
    changes, turn = np.array([change for _, change in rows]), turn / 12
    low, high = widest(similarity, changes, turn, allowed)
    assert low <= turn <= high
    outside = skips(similarity, low, high)
    assert (outside & changes).sum() <= allowed
    ends = np.concatenate([np.linspace(-1.25, 1.25, 31), [turn]])
    found = [
        (skips(similarity, one, other).sum(), -(skips(similarity, one, other) & changes).sum())
        for one in ends[ends <= turn]
        for other in ends[ends >= turn]
        if (skips(similarity, one, other) & changes).sum() <= allowed
    ]
    # The most skipped, and among those the fewest changed.
    assert (outside.sum(), -(outside & changes).sum()) == max(found)


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=1, max_size=30), st.floats(-1, 1))
def test_equal_similarities_go_together_and_a_little_noise_moves_none(rows, turn):
    similarity, changes = np.array([value for value, _ in rows]), np.array([change for _, change in rows])
    low, high = widest(similarity, changes, turn, 1)
    for end in (low, high):
        below, above = similarity[similarity < end], similarity[similarity >= end]
        if len(below) and len(above) and end != turn:
            assert end == pytest.approx((below.max() + above.min()) / 2, abs=1e-15)


@given(SIMILARITIES, st.floats(-1, 1), st.integers(0, 5))
def test_more_allowed_changes_never_skip_fewer(rows, turn, allowed):
    similarity = np.array([value for value, _ in rows]) / 6
    changes = np.array([change for _, change in rows])
    one, other = (skips(similarity, *widest(similarity, changes, turn, may)).sum() for may in (allowed, allowed + 1))
    assert one <= other


def test_a_band_by_hand():
    similarity = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    changes = np.array([0, 0, 1, 0, 0, 1, 0, 0], dtype=bool)
    assert widest(similarity, changes, 0.5, 0) == pytest.approx((0.25, 0.75))
    # One change: either side gains as much, so that the band closes there up to the turning point.
    low, high = widest(similarity, changes, 0.5, 1)
    assert sorted([low == 0.5, high == 0.5]) == [False, True]
    assert widest(similarity, changes, 0.5, 2) == (0.5, 0.5)


def test_a_side_that_changes_at_its_far_end_is_never_skipped():
    low, high = widest(np.array([0.1, 0.2, 0.8, 0.9]), np.array([1, 0, 0, 1], dtype=bool), 0.5, 0)
    assert (low, high) == (-BEYOND, BEYOND)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([60, 150, 400]), st.sampled_from(BUDGETS), st.sampled_from([1.0, 3.0]))
def test_the_fitted_band_keeps_its_promise(seed, n, allowed, encoder):
    answer, signals, label = fitted(n, seed, encoder=encoder)
    band, reason = fit_band(answer, signals, label, seed=0, allowed=allowed)
    full = answer.probability(signals) >= answer.threshold
    if band is None:
        assert "no pair can skip" in reason
        return
    assert band.low <= turning_point(band.encoder) <= band.high
    outside = ~band.asks(signals["encoder"])
    probability = band.probability(answer, signals)
    changed = (probability >= answer.threshold) != full
    assert changed.sum() <= allowed * n + 1e-9
    assert not (changed & ~outside).any()
    assert (band.skipped, band.changed, band.rows) == (outside.mean(), changed.mean(), n)
    # Outside of the band the similarity alone decides, and the probability says the same.
    sure = signals["encoder"][outside] >= band.high
    np.testing.assert_array_equal(probability[outside] >= answer.threshold, sure)


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_that_moves_between_rejection_and_review_is_a_changed_decision(seed):
    answer, signals, label = fitted(1000, seed)
    decision = decide(Policy.parse("bands=0.99:0.998"), answer.probability(signals), label)
    answer = replace(answer, threshold=decision.threshold)
    assert decision.reject < decision.threshold
    band, _ = fit_band(answer, signals, label, seed=0, reject=decision.reject)
    full, cascade = answer.probability(signals), band.probability(answer, signals)
    changed = decision.name(full, answer.threshold) != decision.name(cascade, answer.threshold)
    assert changed.mean() == band.changed <= 0.005
    wider, _ = fit_band(answer, signals, label, seed=0)
    moved = decision.name(wider.probability(answer, signals), answer.threshold) != decision.name(full, answer.threshold)
    assert moved.mean() > 0.01  # what counting matches alone would have let through
    points = speed_curve(answer, signals, label, signals, label, seed=0, reject=decision.reject)
    assert all(point.measured_changed == point.changed <= point.allowed for point in points)


def test_a_good_encoder_skips_many_and_says_what_stands_behind_it():
    answer, signals, label = fitted(1000)
    band, reason = fit_band(answer, signals, label, seed=0)
    assert band.skipped > 0.5
    assert 0 < band.changed <= 0.005
    assert f"{band.skipped:.1%} of 1000 validation pairs" in reason
    assert "at most 5 of 1000 validation decisions (0.5%) may change" in reason
    assert "new pairs may change more" not in reason
    assert band.reason == reason


def test_new_pairs_change_about_as_often_as_the_held_out_half():
    answer, signals, label = fitted(2000)
    band, _ = fit_band(answer, signals, label, seed=0)
    test, _ = pairs(20_000, seed=1)
    full = answer.probability(test) >= answer.threshold
    changed = ((band.probability(answer, test) >= answer.threshold) != full).mean()
    assert changed == pytest.approx(band.changed_held_out, abs=0.004)
    assert changed > 0


@pytest.mark.parametrize(("n", "may"), [(60, 0), (200, 1)])
def test_few_rows_say_that_they_are_coarse(n, may):
    answer, signals, label = fitted(n)
    band, reason = fit_band(answer, signals, label, seed=0)
    assert f"at most {may} of {n} validation decisions" in reason
    assert "new pairs may change more" in reason
    assert band.changed * n <= may


@pytest.mark.parametrize(("n", "matches"), [(49, 20), (80, 9), (80, 71)])
def test_too_few_rows_have_no_band(n, matches):
    signals, _ = pairs(n)
    label = np.arange(n) < matches
    band, reason = fit_band(Answer(BOTH, (1.0, 1.0), 0.0, 0.5, ""), signals, label, seed=0)
    assert band is None
    assert f"{n} validation pairs, {matches} of them matches, are too few" in reason


def test_an_answer_without_the_decoder_needs_no_band():
    signals, label = pairs()
    band, reason = fit_band(Answer(("encoder",), (1.0,), 0.0, 0.5, ""), signals, label, seed=0)
    assert (band, reason) == (None, "the answer never asks the decoder")


def test_an_encoder_that_counts_against_the_match_has_no_band():
    signals, label = pairs(encoder=-3.0)
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    band, reason = fit_band(answer, signals, label, seed=0)
    assert band is None
    assert "does not grow with the match" in reason


def test_an_answer_that_calls_all_a_match_skips_the_decoder_always():
    signals, label = pairs()
    answer = Answer(BOTH, (1.0, 1.0), 0.0, -0.5, "")
    band, _ = fit_band(answer, signals, label, seed=0)
    assert (band.skipped, band.changed, band.high) == (1.0, 0.0, -BEYOND)
    never = replace(band.encoder, threshold=1.5)
    assert turning_point(never) == BEYOND


def test_the_turning_point_is_where_the_probability_reaches_the_threshold():
    encoder = Answer(("encoder",), (12.0,), -7.0, 0.37, "")
    turn = turning_point(encoder)
    assert encoder.probability({"encoder": [turn]})[0] == pytest.approx(0.37)


def test_the_ends_belong_to_the_decoder_and_to_the_match():
    band = Band(0.25, 0.75, Answer(("encoder",), (1.0,), 0.0, 0.5, ""), 0.5, 0.0, 0.0, 100, "by hand")
    assert band.asks([0.2, 0.25, 0.5, 0.75]).tolist() == [False, True, True, False]
    shut = replace(band, low=0.5, high=0.5)
    assert not shut.asks(np.linspace(-1, 1, 9)).any()


def test_comes_back_from_json_as_it_was():
    answer, signals, label = fitted()
    band, _ = fit_band(answer, signals, label, seed=0)
    text = json.dumps(band.as_dict(), allow_nan=False)
    assert Band.from_dict(json.loads(text)) == band


def test_the_same_seed_gives_the_same_band():
    answer, signals, label = fitted()
    assert fit_band(answer, signals, label, seed=3) == fit_band(answer, signals, label, seed=3)


def test_a_missing_signal_is_named():
    answer, signals, label = fitted()
    with pytest.raises(FlipkdError, match="log-odds of the decoder"):
        fit_band(answer, {"encoder": signals["encoder"]}, label, seed=0)


def test_the_curve_rises_and_is_measured_on_other_pairs():
    answer, signals, label = fitted(1000)
    test, truth = pairs(3000, seed=1)
    points = speed_curve(answer, signals, label, test, truth, seed=0)
    assert [point.allowed for point in points] == list(BUDGETS)
    assert all(a.skipped <= b.skipped and a.changed <= b.changed for a, b in pairwise(points))
    assert all(point.changed <= point.allowed for point in points)
    band, _ = fit_band(answer, signals, label, seed=0)
    (own,) = [point for point in points if point.allowed == 0.005]
    assert (own.skipped, own.changed, own.changed_held_out) == (band.skipped, band.changed, band.changed_held_out)
    match = band.probability(answer, test) >= answer.threshold
    assert own.measured_skipped == pytest.approx(1 - band.asks(test["encoder"]).mean())
    assert own.measured_changed == (match != (answer.probability(test) >= answer.threshold)).mean()
    assert own.measured_f1 == pytest.approx(2 * (match & (truth == 1)).sum() / (match.sum() + truth.sum()))


def test_a_curve_without_a_band_skips_nothing():
    answer, signals, label = fitted(40)
    points = speed_curve(answer, signals, label, signals, label, seed=0)
    assert {(point.skipped, point.measured_skipped, point.measured_changed) for point in points} == {(0.0, 0.0, 0.0)}
