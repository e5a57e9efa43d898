import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibration import bin_pairs, calibration

pairs = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@settings(deadline=None)
@given(pairs)
def test_brier_and_log_loss_are_those_of_scikit_learn(rows):
    probability, label = map(np.array, zip(*rows, strict=True))
    found = calibration(probability, label)
    assert found.brier == pytest.approx(brier_score_loss(label, probability))
    assert found.log_loss == pytest.approx(log_loss(label, np.clip(probability, 1e-15, 1 - 1e-15)))


@given(pairs)
def test_bins_hold_all_pairs_in_equal_parts(rows):
    probability, label = map(np.array, zip(*rows, strict=True))
    found = bin_pairs(probability, label)
    assert found.sizes.sum() == len(rows)
    assert np.ptp(found.sizes) <= 1
    assert (found.seen * found.sizes).sum() == pytest.approx(label.sum())
    assert 0 <= found.error <= 1


def test_a_true_probability_has_a_small_error_and_a_bent_one_has_not():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=20_000)
    label = (rng.uniform(size=20_000) < probability).astype(int)
    true, bent = calibration(probability, label), calibration(probability**3, label)
    assert true.calibration_error < 0.02 < 0.15 < bent.calibration_error
    assert true.brier < bent.brier
    assert true.log_loss < bent.log_loss


def test_by_hand():
    found = calibration([0.0, 1.0], [1, 0])
    assert (found.calibration_error, found.brier, found.n) == (1.0, 1.0, 2)
    assert found.log_loss == pytest.approx(-np.log(1e-15), rel=1e-4)


def test_what_is_no_probability_is_named_by_its_row():
    with pytest.raises(FlipkdError, match=r"Row 1 holds 1\.5"):
        calibration([0.2, 1.5], [0, 1])
