"""Which number means a match, and on which pairs that was decided (rows 48 and 50)."""

import numpy as np
import pytest

from flipkd.distill.compare import Signal, compare
from flipkd.evaluation.answer import fit_answer, threshold_alone
from flipkd.evaluation.metrics import measure
from flipkd.evaluation.thresholds import best_threshold
from tiny import pairs


def drawn(label, seed, shift=0.0):
    """Numbers that know the label, up to noise."""
    return label + np.random.default_rng(seed).normal(shift, 0.6, len(label))


def test_a_threshold_of_validation_is_reported_on_test_though_another_would_look_better():
    validation, test = pairs(80), pairs(80, seed=3)
    signals = [Signal(drawn(validation.label, seed), drawn(test.label, seed + 10, shift=0.8)) for seed in range(4)]
    found = compare(
        {"zero_shot": signals[0], "flipped": signals[1]}, signals[2], signals[3], validation, test, seed=0, name="test"
    )
    row, decoder = found.rows["flipped_decoder"], signals[1]
    assert row.threshold == threshold_alone(decoder.validation, validation.label, seed=0)
    assert row.f1 == pytest.approx(measure(decoder.test, test.label, row.threshold).f1)
    assert row.f1 < measure(decoder.test, test.label, best_threshold(decoder.test, test.label)).f1


def test_two_scales_of_one_order_give_one_probability():
    label = np.random.default_rng(0).integers(0, 2, 300)
    value = drawn(label, 1)
    cosines, logits = 0.9 + value / 100, 20 * value - 3
    answers = [fit_answer({"decoder": signal}, label, [("decoder",)], seed=0) for signal in (cosines, logits)]
    probabilities = [
        answer.probability({"decoder": signal}) for answer, signal in zip(answers, (cosines, logits), strict=True)
    ]
    np.testing.assert_allclose(*probabilities, atol=1e-6)
    assert answers[0].threshold == pytest.approx(answers[1].threshold, abs=1e-6)


def test_two_bent_scales_of_one_order_give_nearly_one_probability():
    """Isotonic steps see the order alone, up to where they lie straight between their knots."""
    random = np.random.default_rng(0)
    truth = random.uniform(0.02, 0.98, 4000)
    label = (random.uniform(size=4000) < truth).astype(int)
    signals = [np.log(truth / (1 - truth)), np.log(truth / (1 - truth)) ** 3]
    probabilities = [
        fit_answer({"decoder": signal}, label, [("decoder",)], seed=0).probability({"decoder": signal})
        for signal in signals
    ]
    assert np.abs(probabilities[0] - probabilities[1]).mean() < 0.03
    assert (np.argsort(probabilities[0]) == np.argsort(probabilities[1])).all()
