"""The contrastive baselines share a signature and so most of their tests."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.losses.adapacse import adapacse
from flipkd.losses.arccse import arccse
from flipkd.losses.cosent import cosent
from flipkd.losses.infonce import infonce
from flipkd.losses.mcl import mcl

BASELINES = [infonce, arccse, adapacse, cosent]
COSINE = st.one_of(st.sampled_from([-1.0, 1.0, 0.5]), st.floats(-1, 1, width=32))
KIND = st.sampled_from(["positive", "negative", "dropped"])
ENTRIES = st.lists(st.tuples(COSINE, COSINE, KIND), max_size=7)


def tensors(entries):
    return (
        torch.tensor([entry[0] for entry in entries], dtype=torch.float32).requires_grad_(),
        torch.tensor([entry[1] for entry in entries], dtype=torch.float32),
        torch.tensor([entry[2] == "positive" for entry in entries], dtype=torch.bool),
        torch.tensor([entry[2] == "negative" for entry in entries], dtype=torch.bool),
    )


@pytest.mark.parametrize("loss", BASELINES)
@settings(max_examples=60)
@given(entries=ENTRIES)
def test_finite_and_exactly_zero_where_a_set_is_empty(loss, entries):
    similarity, teacher, positive, negative = tensors(entries)
    teacher[~(positive | negative)] = torch.nan
    value = loss(similarity, teacher, positive, negative)
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(similarity.grad).all()
    assert not similarity.grad[~(positive | negative)].any()
    if not (positive.any() and negative.any()):
        assert value.item() == 0
        assert not similarity.grad.any()


@pytest.mark.parametrize("loss", BASELINES)
@settings(max_examples=40)
@given(entries=st.lists(st.tuples(COSINE, COSINE, KIND), min_size=5, max_size=5), order=st.permutations(range(5)))
def test_the_order_of_the_batch_does_not_matter(loss, entries, order):
    straight = loss(*tensors(entries)).item()
    moved = loss(*tensors([entries[i] for i in order])).item()
    assert straight == pytest.approx(moved, abs=1e-5)


@pytest.mark.parametrize("loss", BASELINES)
def test_one_positive_and_one_negative_pull_apart(loss):
    similarity = torch.tensor([0.2, 0.6], requires_grad=True)
    value = loss(similarity, similarity.detach(), torch.tensor([True, False]), torch.tensor([False, True]))
    value.backward()
    assert value.item() > 0
    assert similarity.grad[0] < 0 < similarity.grad[1]


SETS = torch.tensor([True, True, False, False]), torch.tensor([False, False, True, True])
SIMILARITY, TEACHER = torch.tensor([0.8, 0.6, 0.3, 0.1]), torch.tensor([0.9, 0.7, 0.2, -0.1])


def softmax_term(positive, negatives, tau):
    top = math.exp(positive / tau)
    return -tau * math.log(top / (top + sum(math.exp(s / tau) for s in negatives)))


def test_infonce_by_hand():
    expected = (softmax_term(0.8, [0.3, 0.1], 0.5) + softmax_term(0.6, [0.3, 0.1], 0.5)) / 2
    assert infonce(SIMILARITY, TEACHER, *SETS, temperature=0.5).item() == pytest.approx(expected, abs=1e-6)


def test_infonce_of_a_matrix_compares_inside_each_row():
    similarity = torch.tensor([[0.8, 0.3], [0.1, 0.6]])
    diagonal = torch.eye(2, dtype=torch.bool)
    expected = (softmax_term(0.8, [0.3], 0.05) + softmax_term(0.6, [0.1], 0.05)) / 2
    assert infonce(similarity, similarity, diagonal, ~diagonal).item() == pytest.approx(expected, abs=1e-6)
    rows = torch.nn.functional.cross_entropy(similarity / 0.05, torch.arange(2))
    assert infonce(similarity, similarity, diagonal, ~diagonal).item() == pytest.approx(0.05 * rows.item(), abs=1e-6)


def test_arccse_by_hand():
    near = [math.cos(math.acos(0.8) + 0.2), math.cos(math.acos(0.6) + 0.2)]
    expected = sum(softmax_term(s, [0.3, 0.1], 0.5) for s in near) / 2
    assert arccse(SIMILARITY, TEACHER, *SETS, margin=0.2, temperature=0.5).item() == pytest.approx(expected, abs=1e-6)


def test_adapacse_by_hand():
    far = [math.cos(math.acos(0.3) - 0.8 * 0.2), math.cos(math.acos(0.1) - 1.1 * 0.2)]
    expected = sum(softmax_term(s, far, 0.5) for s in (0.8, 0.6)) / 2
    assert adapacse(SIMILARITY, TEACHER, *SETS, margin=0.2, temperature=0.5).item() == pytest.approx(expected, abs=1e-6)


def test_cosent_by_hand_is_the_sum_over_all_pairs():
    pairs = [math.exp((n - p) / 0.5) for p in (0.8, 0.6) for n in (0.3, 0.1)]
    assert cosent(SIMILARITY, TEACHER, *SETS, temperature=0.5).item() == pytest.approx(
        0.5 * math.log(1 + sum(pairs)), abs=1e-6
    )


def test_cosent_is_the_first_zone_of_mcl_for_one_pair_without_margins():
    entries = torch.tensor([0.2, 0.6]), torch.tensor([0.5, 0.5])
    sets = torch.tensor([True, False]), torch.tensor([False, True])
    zone = mcl(*entries, *sets, tau_p=0.6, tau_n=0.4, margin_positive=0, margin_negative=0).inter
    assert cosent(*entries, *sets).item() == pytest.approx(zone.item())


@pytest.mark.parametrize("loss", [arccse, adapacse])
def test_without_a_margin_the_angular_losses_are_infonce(loss):
    expected = infonce(SIMILARITY, TEACHER, *SETS).item()
    assert loss(SIMILARITY, TEACHER, *SETS, margin=0.0).item() == pytest.approx(expected)
