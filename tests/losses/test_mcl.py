import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.losses.margins import widened_negative, widened_positive
from flipkd.losses.mcl import mcl, negative_margin, positive_margin

TAUS = {"tau_p": 0.6, "tau_n": 0.4}
COSINE = st.one_of(st.sampled_from([-1.0, 1.0, 0.0, 0.5]), st.floats(-1, 1, width=32))
KIND = st.sampled_from(["positive", "negative", "dropped"])
ENTRIES = st.lists(st.tuples(COSINE, COSINE, KIND), max_size=8)


def tensors(entries):
    similarity = torch.tensor([entry[0] for entry in entries], dtype=torch.float32)
    teacher = torch.tensor([entry[1] for entry in entries], dtype=torch.float32)
    kinds = [entry[2] for entry in entries]
    return (
        similarity.requires_grad_(),
        teacher,
        torch.tensor([kind == "positive" for kind in kinds], dtype=torch.bool),
        torch.tensor([kind == "negative" for kind in kinds], dtype=torch.bool),
    )


def test_value_by_hand_for_two_positives_and_two_negatives():
    # Margins: 0.1 (0.9-0.4)/0.6 = 1/12, 0.1 (0.7-0.4)/0.6 = 0.05; 0.1 (0.6-0.2)/1.6 = 0.025,
    # 0.1 (0.6+0.1)/1.6 = 0.04375.
    near = [math.cos(math.acos(0.8) + 1 / 12), math.cos(math.acos(0.6) + 0.05)]
    far = [math.cos(math.acos(0.3) - 0.025), math.cos(math.acos(0.1) - 0.04375)]
    pairs = [math.exp((f - n) / 0.5) for f in far for n in near]
    inter = 0.5 * math.log(1 + sum(pairs) / 4)
    # Inside P the teacher's gap of 0.2 is met; inside N its gap of 0.3 meets one of 0.2, short by 0.1.
    intra = (0.0 + 0.1) / 2
    terms = mcl(
        torch.tensor([0.8, 0.3, 0.6, 0.1]),
        torch.tensor([0.9, 0.2, 0.7, -0.1]),
        torch.tensor([True, False, True, False]),
        torch.tensor([False, True, False, True]),
        temperature=0.5,
        **TAUS,
    )
    assert terms.inter.item() == pytest.approx(inter, abs=1e-6)
    assert terms.intra.item() == pytest.approx(intra, abs=1e-6)


def test_margins_by_hand():
    teacher = torch.tensor([1.0, 0.7, 0.4, -1.0])
    torch.testing.assert_close(positive_margin(teacher, 0.4, 0.2), torch.tensor([0.2, 0.1, 0.0, 0.0]))
    teacher = torch.tensor([-1.0, -0.2, 0.6, 1.0])
    torch.testing.assert_close(negative_margin(teacher, 0.6, 0.2), torch.tensor([0.2, 0.1, 0.0, 0.0]))


@given(ENTRIES)
def test_log_mean_exp_form_equals_the_sum_over_all_pairs(entries):
    similarity, teacher, positive, negative = tensors(entries)
    tau = 0.5
    near = widened_positive(similarity, positive_margin(teacher, TAUS["tau_n"], 0.1))[positive].double()
    far = widened_negative(similarity, negative_margin(teacher, TAUS["tau_p"], 0.1))[negative].double()
    inter = mcl(similarity, teacher, positive, negative, temperature=tau, **TAUS).inter
    if len(near) and len(far):
        over_pairs = ((far[:, None] - near[None, :]) / tau).exp().mean()
        assert inter.item() == pytest.approx(tau * torch.log(1 + over_pairs).item(), abs=1e-5)
    else:
        assert inter.item() == 0


@given(ENTRIES)
def test_intra_equals_the_loop_over_pairs(entries):
    similarity, teacher, positive, negative = tensors(entries)
    short = [
        max(0.0, 2.0 * (teacher[u] - teacher[v]).item() - (similarity[u] - similarity[v]).item())
        for inside in (positive, negative)
        for u in range(len(entries))
        for v in range(len(entries))
        if inside[u] and inside[v] and (teacher[u] - teacher[v]).item() > 0.25
    ]
    intra = mcl(similarity, teacher, positive, negative, kappa=2.0, delta=0.25, **TAUS).intra
    assert intra.item() == pytest.approx(sum(short) / len(short) if short else 0, abs=1e-5)


@settings(max_examples=200)
@given(ENTRIES)
def test_terms_and_gradients_are_finite_and_stay_inside_the_sets(entries):
    similarity, teacher, positive, negative = tensors(entries)
    terms = mcl(similarity, teacher, positive, negative, **TAUS)
    assert terms.inter.item() >= 0
    assert terms.intra.item() >= 0
    (terms.inter + terms.intra).backward()
    assert torch.isfinite(similarity.grad).all()
    assert not similarity.grad[~(positive | negative)].any()


@given(st.permutations(range(6)), st.lists(st.tuples(COSINE, COSINE, KIND), min_size=6, max_size=6))
def test_the_order_of_the_batch_does_not_matter(order, entries):
    straight = mcl(*tensors(entries), **TAUS)
    moved = mcl(*tensors([entries[i] for i in order]), **TAUS)
    assert straight.inter.item() == pytest.approx(moved.inter.item(), abs=1e-5)
    assert straight.intra.item() == pytest.approx(moved.intra.item(), abs=1e-5)


@pytest.mark.parametrize("kinds", [[], ["positive"], ["negative"], ["positive"] * 2, ["negative"] * 2, ["dropped"] * 3])
def test_one_sided_batches_have_no_inter_term_and_no_gradient_from_it(kinds):
    similarity, teacher, positive, negative = tensors([(0.5, 0.7, kind) for kind in kinds])
    terms = mcl(similarity, teacher, positive, negative, **TAUS)
    assert (terms.inter.item(), terms.intra.item()) == (0, 0)
    (terms.inter + terms.intra).backward()
    assert not similarity.grad.any()


def test_one_positive_and_one_negative_are_compared():
    # The guard `len(x) > 1` of other libraries makes this batch's loss 0.
    similarity = torch.tensor([0.2, 0.6], requires_grad=True)
    sets = torch.tensor([True, False]), torch.tensor([False, True])
    terms = mcl(similarity, torch.tensor([0.4, 0.6]), *sets, temperature=0.5, **TAUS)
    # At T = tau_n and T = tau_p the margins are 0.
    assert terms.inter.item() == pytest.approx(0.5 * math.log(1 + math.exp((0.6 - 0.2) / 0.5)))
    assert terms.intra.item() == 0
    terms.inter.backward()
    pull = 1 / (1 + math.exp(-(0.6 - 0.2) / 0.5))
    torch.testing.assert_close(similarity.grad, torch.tensor([-pull, pull]))


@pytest.mark.parametrize("size", [1, 2])
def test_equal_similarities_leave_log_two(size):
    similarity = torch.full((2 * size,), 0.3)
    sets = torch.arange(2 * size) < size
    terms = mcl(similarity, similarity, sets, ~sets, margin_positive=0, margin_negative=0, **TAUS)
    assert terms.inter.item() == pytest.approx(0.05 * math.log(2))


def test_the_worst_error_is_pulled_hard_at_the_default_temperature():
    similarity = torch.tensor([-1.0, 1.0], requires_grad=True)
    terms = mcl(
        similarity,
        torch.tensor([1.0, -1.0]),
        torch.tensor([True, False]),
        torch.tensor([False, True]),
        **TAUS,
    )
    terms.inter.backward()
    torch.testing.assert_close(similarity.grad, torch.tensor([-1.0, 1.0]))


def test_inner_order_rests_once_the_gaps_agree():
    similarity = torch.tensor([0.9, 0.5], requires_grad=True)
    both, none = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    terms = mcl(similarity, torch.tensor([0.8, 0.5]), both, none, **TAUS)
    terms.intra.backward()
    assert terms.intra.item() == 0
    assert not similarity.grad.any()


def test_unknown_teacher_similarities_outside_the_sets_do_no_harm():
    similarity = torch.tensor([0.9, 0.5, 0.1], requires_grad=True)
    teacher = torch.tensor([0.8, float("nan"), 0.0])
    terms = mcl(similarity, teacher, torch.tensor([True, False, False]), torch.tensor([False, False, True]), **TAUS)
    (terms.inter + terms.intra).backward()
    assert torch.isfinite(terms.inter)
    assert torch.isfinite(similarity.grad).all()


def test_half_precision_is_computed_in_float32():
    similarity = torch.tensor([0.71, 0.64, 0.1], dtype=torch.bfloat16)
    teacher = torch.tensor([0.6, 0.95, 0.0])
    sets = torch.tensor([True, True, False]), torch.tensor([False, False, True])
    terms, exact = (mcl(given, teacher, *sets, **TAUS) for given in (similarity, similarity.float()))
    assert terms.inter.dtype == terms.intra.dtype == torch.float32
    assert terms.intra > 0
    assert (terms.inter, terms.intra) == (exact.inter, exact.intra)
