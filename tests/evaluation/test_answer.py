import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer, _choose, choose_order, cross_fitted, fit_answer, threshold_alone
from flipkd.evaluation.metrics import measure
from flipkd.evaluation.thresholds import best_threshold

SINGLES = [("decoder",), ("encoder",)]
ALL = [*SINGLES, ("decoder", "encoder")]


def pairs(n=300, decoder=1.0, encoder=1.0, seed=0):
    """Labels and two signals; each number is how far a signal's classes stand apart, in its own spread."""
    random = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    return {
        "decoder": 4 * (random.normal(size=n) + decoder * label) - 1,
        "encoder": 0.1 * (random.normal(size=n) + encoder * label) + 0.6,
    }, label


def test_fuses_where_both_know_something_of_their_own():
    signals, label = pairs(decoder=1.5, encoder=1.5)
    answer = fit_answer(signals, label, ALL, seed=0)
    assert answer.sources == ("decoder", "encoder")
    assert "decoder + encoder beats" in answer.reason
    singles = [fit_answer(signals, label, [single], seed=0) for single in SINGLES]
    test, truth = pairs(n=3000, decoder=1.5, encoder=1.5, seed=1)
    fused = measure(answer.probability(test), truth, answer.threshold).auc
    assert all(fused > measure(single.probability(test), truth, single.threshold).auc for single in singles)


@pytest.mark.parametrize(("decoder", "encoder", "winner"), [(2.0, 0.0, "decoder"), (0.0, 2.0, "encoder")])
def test_one_source_answers_where_the_other_knows_nothing(decoder, encoder, winner):
    signals, label = pairs(decoder=decoder, encoder=encoder)
    answer = fit_answer(signals, label, ALL, seed=0)
    assert answer.sources == (winner,)
    assert "does not beat" in answer.reason


def test_a_copy_of_the_signal_is_not_worth_fusing():
    signals, label = pairs(decoder=1.5)
    answer = fit_answer({**signals, "encoder": signals["decoder"] / 50}, label, ALL, seed=0)
    assert len(answer.sources) == 1


@pytest.mark.parametrize(("gain", "taken"), [(0.015, False), (0.025, True), (-0.025, False)])
def test_a_richer_answer_must_win_by_more_than_a_standard_error(gain, taken):
    # Per-row gains of gain +- 0.2 over 100 rows: a standard error of 0.0201.
    single = np.ones(100)
    richer = single - gain + np.tile([0.2, -0.2], 50)
    chosen, reason = _choose(
        {("decoder",): single, ("encoder",): single + 0.1, ("decoder", "encoder"): richer}, np.arange(len(single))
    )
    assert chosen == (("decoder", "encoder") if taken else ("decoder",))
    assert f"({gain:+.4f} against 0.0201)" in reason


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_pairs_do_not_make_steps_win(seed):
    # The truth is logistic: steps could win only by having seen a pair's copy.
    random = np.random.default_rng(seed)
    value = random.normal(size=300) * 2
    label = (random.uniform(size=300) < expit(value)).astype(np.int64)
    answer = fit_answer({"decoder": np.repeat(value, 6)}, np.repeat(label, 6), [("decoder",)], seed=0)
    assert answer.steps is None
    assert "do not beat" in answer.reason


def test_three_sources_are_taken_in_their_order():
    signals, label = pairs(n=600, decoder=1.5, encoder=1.5)
    signals["teacher"] = np.random.default_rng(5).normal(size=600) + 2 * label
    answer = fit_answer(signals, label, [*ALL, ("teacher", "encoder", "decoder")], seed=0)
    assert answer.sources == ("decoder", "encoder", "teacher")


def test_the_reason_carries_the_rows_and_each_candidates_log_loss():
    signals, label = pairs()
    reason = fit_answer(signals, label, ALL, seed=0).reason
    assert "300 validation pairs, 100 of them matches" in reason
    for name in ("decoder 0.", "encoder 0.", "decoder + encoder 0."):
        assert name in reason


def test_the_coefficients_are_the_standardised_models_folded_back():
    signals, label = pairs()
    answer = fit_answer(signals, label, [("decoder", "encoder")], seed=0)
    features = np.stack([signals["decoder"], signals["encoder"]], axis=1)
    scaler = StandardScaler().fit(features)
    model = LogisticRegression().fit(scaler.transform(features), label)
    expected = model.decision_function(scaler.transform(features))
    np.testing.assert_allclose(answer.logit(signals), expected, atol=1e-8)
    np.testing.assert_allclose(answer.probability(signals), 1 / (1 + np.exp(-expected)), atol=1e-8)


@settings(max_examples=8)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_the_unit_of_a_signal_changes_no_probability(scale, shift):
    signals, label = pairs(n=90)
    moved = {**signals, "decoder": scale * signals["decoder"] + shift}
    straight, again = (fit_answer(each, label, [("decoder",)], seed=0) for each in (signals, moved))
    np.testing.assert_allclose(straight.probability(signals), again.probability(moved), atol=1e-6)
    assert straight.threshold == pytest.approx(again.threshold, abs=1e-6)


def test_the_probability_is_calibrated_on_new_pairs():
    signals, label = pairs(n=2000, decoder=1.5)
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    test, truth = pairs(n=20000, decoder=1.5, seed=1)
    probability = answer.probability(test)
    for low in (0.1, 0.4, 0.7):
        inside = (probability >= low) & (probability < low + 0.2)
        assert truth[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.05)


def test_the_threshold_serves_new_pairs():
    signals, label = pairs(n=600, decoder=2.0)
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    test, truth = pairs(n=6000, decoder=2.0, seed=1)
    probability = answer.probability(test)
    reached = measure(probability, truth, answer.threshold).f1
    assert reached > max(measure(probability, truth, cut).f1 for cut in np.linspace(0, 1, 101)) - 0.03


def test_few_pairs_take_the_first_of_the_simplest():
    signals, label = pairs(n=20, encoder=3.0)
    answer = fit_answer(signals, label, [("decoder", "encoder"), *SINGLES], seed=0)
    assert answer.sources == ("decoder",)
    assert "too few" in answer.reason
    assert "20 validation pairs, 7 of them matches" in answer.reason
    assert np.isfinite(answer.probability(signals)).all()


def test_one_pair_of_each_class_is_enough_to_answer():
    answer = fit_answer({"decoder": [-1.0, 2.0]}, [0, 1], [("decoder",)], seed=0)
    assert (answer.probability({"decoder": [-1.0, 2.0]}) >= answer.threshold).tolist() == [False, True]


@pytest.mark.parametrize("n", [9, 60])
def test_a_constant_signal_answers_with_the_base_rate(n):
    label = np.arange(n) % 3 == 0
    signals = {"decoder": np.full(n, 7.0), "encoder": np.full(n, 1.0)}
    answer = fit_answer(signals, label, ALL, seed=0)
    np.testing.assert_allclose(answer.probability(signals), 1 / 3, atol=1e-3)
    assert answer.weights == (0.0,)
    assert answer.probability(signals)[0] >= answer.threshold  # all a match: the best F1 to be had


def test_perfectly_told_apart_stays_finite():
    label = np.arange(100) % 2
    signals = {"decoder": 1000.0 * label, "encoder": label - 0.5}
    answer = fit_answer(signals, label, ALL, seed=0)
    assert np.isfinite([*answer.weights, answer.bias, answer.threshold]).all()
    assert measure(answer.probability(signals), label, answer.threshold).f1 == 1


def test_a_signal_that_counts_against_a_match_is_in_the_reason():
    signals, label = pairs(decoder=-2.0)
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    assert answer.weights[0] < 0
    assert "negative weight on decoder" in answer.reason


def test_the_same_seed_gives_the_same_answer_and_the_callers_arrays_stay():
    signals, label = pairs()
    kept = {name: values.copy() for name, values in signals.items()}
    assert fit_answer(signals, label, ALL, seed=3) == fit_answer(signals, label, ALL, seed=3)
    assert all((signals[name] == kept[name]).all() for name in signals)


def test_both_orders_are_averaged_where_each_has_noise_of_its_own():
    random, label = np.random.default_rng(0), np.arange(300) % 2
    given, swapped = (2 * label + random.normal(size=300) for _ in range(2))
    assert choose_order(given, swapped, label, seed=0)[0]
    assert not choose_order(given, given, label, seed=0)[0]
    few = choose_order(given[:12], swapped[:12], label[:12], seed=0)
    assert (few[0], "too few" in few[1]) == (False, True)


def test_comes_back_from_json_as_it_was():
    signals, label = pairs()
    answer = fit_answer(signals, label, ALL, seed=0)
    assert Answer.from_dict(json.loads(json.dumps(answer.as_dict()))) == answer


def test_logit_by_hand():
    answer = Answer(("decoder", "teacher"), (2.0, -1.0), 0.5, 0.5, "by hand")
    signals = {"decoder": [1.0, 0.0], "teacher": [0.5, 0.5], "encoder": [np.nan, np.nan]}
    assert answer.logit(signals).tolist() == [2.0, 0.0]
    assert answer.probability(signals).tolist() == pytest.approx([1 / (1 + np.exp(-2)), 0.5])


def test_a_missing_source_is_named_with_the_mend():
    answer = Answer(("decoder", "teacher"), (1.0, 1.0), 0.0, 0.5, "")
    with pytest.raises(FlipkdError, match=r"similarities of the teacher.*--keep-teacher"):
        answer.logit({"decoder": np.zeros(2)})


def test_nan_and_one_class_are_refused():
    with pytest.raises(FlipkdError, match="log-odds of the decoder"):
        fit_answer({"decoder": [0.0, np.nan]}, [0, 1], [("decoder",)], seed=0)
    with pytest.raises(FlipkdError, match="needs both"):
        fit_answer({"decoder": [0.0, 1.0]}, [1, 1], [("decoder",)], seed=0)


def bent(n=1500, seed=0):
    """A decoder whose log-odds are no logistic model of the label: below a point they say nothing."""
    value = np.random.default_rng(seed).uniform(-4, 4, n)
    truth = 0.3 + 0.7 / (1 + np.exp(-8 * (value - 1)))
    return {"decoder": value}, (np.random.default_rng(seed + 1).uniform(size=n) < truth).astype(int)


def test_steps_calibrate_where_the_logistic_curve_does_not_fit():
    signals, label = bent()
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    assert answer.steps is not None
    assert "isotonic calibration, since isotonic steps beat the logistic model" in answer.reason
    new, truth = bent(seed=9)
    plain = fit_answer(signals, label, [("decoder",)], seed=0, steps=False)
    assert plain.steps is None
    assert "isotonic" not in plain.reason
    losses = [np.logaddexp(0, np.where(truth == 1, -z, z)).mean() for z in (answer.logit(new), plain.logit(new))]
    assert losses[0] < losses[1]
    assert Answer.from_dict(json.loads(json.dumps(answer.as_dict()))) == answer


def test_the_logistic_model_calibrates_where_it_fits_or_pairs_are_few():
    signals, label = pairs(n=600)
    assert "isotonic steps do not beat" in fit_answer(signals, label, [("decoder",)], seed=0).reason
    few = fit_answer({"decoder": bent(120)[0]["decoder"]}, bent(120)[1], [("decoder",)], seed=0)
    assert few.steps is None
    assert "too few for isotonic steps" in few.reason


@pytest.mark.parametrize("made", [pairs, bent])
def test_a_prior_moves_every_log_odds_alike_and_comes_back(made):
    signals, label = made()
    answer = fit_answer(signals, label, [("decoder",)], seed=0)
    assert answer.match_rate == label.mean()
    moved = answer.at_prior(0.02)
    rate = label.mean()
    move = np.log(0.02 / 0.98) - np.log(rate / (1 - rate))
    np.testing.assert_allclose(moved.logit(signals), answer.logit(signals) + move, atol=1e-9)
    assert (moved.threshold, moved.match_rate) == (answer.threshold, 0.02)
    np.testing.assert_allclose(moved.at_prior(rate).logit(signals), answer.logit(signals), atol=1e-9)


def test_an_answer_that_does_not_know_its_match_rate_takes_no_prior():
    with pytest.raises(FlipkdError, match="does not say how many"):
        Answer(("decoder",), (1.0,), 0.0, 0.5, "older").at_prior(0.1)


def test_cross_fitted_probabilities_are_those_the_threshold_rests_on():
    for made in (pairs, bent):
        signals, label = made()
        answer = fit_answer(signals, label, [("decoder",)], seed=3)
        held = cross_fitted(answer, signals, label, seed=3)
        assert best_threshold(held, label) == answer.threshold
        assert 0 < np.abs(held - answer.probability(signals)).max() < 0.3


@pytest.mark.parametrize("source", ["decoder", "encoder"])
def test_a_signal_alone_is_cut_where_an_answer_of_it_alone_is(source):
    """Else two rows of one ranking would differ in F1."""
    for seed in range(5):
        signals, label = pairs(n=90, seed=seed)
        answer = fit_answer(signals, label, [(source,)], seed=3, steps=False)
        test, _ = pairs(n=1000, seed=seed + 10)
        cut = threshold_alone(signals[source], label, seed=3)
        assert np.array_equal(test[source] >= cut, answer.probability(test) >= answer.threshold)


def test_a_signal_that_counts_against_a_match_or_has_few_pairs_is_cut_at_its_own_best_f1():
    signals, label = pairs()
    for value, y in ((-signals["decoder"], label), (signals["decoder"][:12], label[:12])):
        assert threshold_alone(value, y, seed=0) == best_threshold(value, y)
