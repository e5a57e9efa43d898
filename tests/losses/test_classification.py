import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from flipkd.losses.classification import label_cross_entropy

LOGIT = st.floats(-50, 50, width=32)
ROWS = st.lists(st.tuples(LOGIT, LOGIT, st.integers(0, 1)), min_size=1, max_size=8)


@given(ROWS)
def test_equals_the_cross_entropy_over_the_two_label_rows(rows):
    no, yes, label = (torch.tensor(column) for column in zip(*rows, strict=True))
    over_rows = F.cross_entropy(torch.stack([no, yes], dim=1), label)
    torch.testing.assert_close(label_cross_entropy(yes - no, label), over_rows, rtol=1e-5, atol=1e-5)


def test_value_by_hand():
    # softplus(-2) for the match and softplus(-1) for the non-match.
    loss = label_cross_entropy(torch.tensor([2.0, -1.0]), torch.tensor([1, 0]))
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2)


def test_empty_batch_is_zero_with_zero_gradient():
    log_odds = torch.zeros(0, requires_grad=True)
    loss = label_cross_entropy(log_odds * 3, torch.zeros(0))
    loss.backward()
    assert loss.item() == 0
    assert log_odds.grad is not None


def test_half_precision_is_summed_in_float32():
    log_odds = torch.full((4096,), 0.01, dtype=torch.bfloat16)
    loss = label_cross_entropy(log_odds, torch.ones(4096))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-float(log_odds[0]))), rel=1e-5)


def test_extreme_log_odds_have_a_finite_loss_and_gradient():
    log_odds = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = label_cross_entropy(log_odds, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    torch.testing.assert_close(log_odds.grad, torch.tensor([0.5, -0.5]))
