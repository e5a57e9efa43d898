import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flipkd.losses.margins import widened_negative, widened_positive

COSINE = st.one_of(st.sampled_from([-1.0, 1.0, 0.0]), st.floats(-1, 1, width=32))
MARGIN = st.floats(0, 1, width=32)


def both(similarity, margin):
    s, m = torch.tensor([similarity]), torch.tensor([margin])
    return widened_positive(s, m).item(), widened_negative(s, m).item()


@given(st.floats(-0.9921875, 0.9921875, width=32), MARGIN)
def test_is_the_cosine_of_the_moved_angle_and_its_continuation(similarity, margin):
    theta = math.acos(similarity)
    positive, negative = both(similarity, margin)
    if abs(theta + margin - math.pi) > 1e-4:  # at the junction float32 may take either side
        beyond = theta + margin > math.pi
        expected = similarity - margin * math.sin(margin) if beyond else math.cos(theta + margin)
        assert positive == pytest.approx(expected, abs=1e-5)
    if abs(theta - margin) > 1e-4:
        expected = similarity + margin * math.sin(margin) if theta < margin else math.cos(theta - margin)
        assert negative == pytest.approx(expected, abs=1e-5)


@given(COSINE)
def test_no_margin_is_exactly_the_similarity_with_gradient_one(similarity):
    for widened in (widened_positive, widened_negative):
        s = torch.tensor([similarity], requires_grad=True)
        result = widened(s, torch.zeros(1))
        result.sum().backward()
        assert result.item() == s.item()
        assert s.grad.item() == 1


@given(COSINE, MARGIN)
def test_gradient_is_finite_and_never_against_the_similarity(similarity, margin):
    for widened in (widened_positive, widened_negative):
        s = torch.tensor([similarity], requires_grad=True)
        widened(s, torch.tensor([margin])).sum().backward()
        assert -1e-5 <= s.grad.item() < math.inf


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2, unique=True), MARGIN)
def test_keeps_the_order_of_similarities(pair, margin):
    low, high = sorted(pair)
    for lower, higher in zip(both(low, margin), both(high, margin), strict=True):
        assert lower <= higher + 1e-6


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.5])
def test_the_worst_errors_keep_a_full_gradient(margin):
    positive = torch.tensor([-1.0], requires_grad=True)
    widened_positive(positive, torch.tensor([margin])).sum().backward()
    negative = torch.tensor([1.0], requires_grad=True)
    widened_negative(negative, torch.tensor([margin])).sum().backward()
    assert positive.grad.item() == 1
    assert negative.grad.item() == 1


@given(COSINE, st.floats(0.015625, 0.5, width=32))
def test_a_margin_makes_both_kinds_harder(similarity, margin):
    positive, negative = both(similarity, margin)
    assert positive < similarity < negative


def test_cosines_pushed_past_one_by_rounding_do_no_harm():
    s = torch.tensor([1 + 1e-6, -1 - 1e-6], requires_grad=True)
    result = widened_positive(s, torch.full((2,), 0.1)) + widened_negative(s, torch.full((2,), 0.1))
    result.sum().backward()
    assert torch.isfinite(result).all()
    assert torch.isfinite(s.grad).all()
