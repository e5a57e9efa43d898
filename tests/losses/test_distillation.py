import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flipkd.losses.distillation import distillation, pair_distillation

COSINE = st.one_of(st.sampled_from([-1.0, 1.0, 0.0]), st.floats(-1, 1, width=32))


def matrix(data, size, values=COSINE):
    cells = data.draw(st.lists(values, min_size=size * size, max_size=size * size))
    return torch.tensor(cells).reshape(size, size)


def loop(student, teacher, keep, temperature):
    """The two terms, row by row."""
    size, divergences, squares = len(student), [], []
    for i in range(size):
        inside = [j for j in range(size) if j != i and keep[i][j]]
        squares += [(student[i][j] - teacher[i][j]) ** 2 for j in inside]
        if len(inside) < 2:
            continue
        p = [math.exp(teacher[i][j] / temperature) for j in inside]
        q = [math.exp(student[i][j] / temperature) for j in inside]
        divergences.append(sum(a / sum(p) * math.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True)))
    return (
        sum(divergences) / len(divergences) if divergences else 0.0,
        sum(squares) / len(squares) if squares else 0.0,
    )


def test_value_by_hand_for_two_texts():
    # Off the diagonal: (0.5 - 0.1)^2 and (0.3 - 0.1)^2; one other text is nothing to rank.
    terms = distillation(torch.tensor([[9.0, 0.5], [0.3, 9.0]]), torch.tensor([[1.0, 0.1], [0.1, 1.0]]))
    assert terms.kl.item() == 0
    assert terms.squared.item() == pytest.approx((0.16 + 0.04) / 2)


def test_value_by_hand_for_three_texts():
    # Each row has two others. Teacher: softmax(ln 3, 0) = (3/4, 1/4); student: equal, (1/2, 1/2).
    high = 0.5 * math.log(3)
    teacher = torch.tensor([[1, high, 0], [high, 1, 0], [high, 0, 1]])
    terms = distillation(torch.zeros(3, 3), teacher, temperature=0.5)
    assert terms.kl.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert terms.squared.item() == pytest.approx(high**2 / 2)


@given(st.integers(0, 4), st.data())
def test_equals_the_loop_over_rows(size, data):
    student, teacher = matrix(data, size), matrix(data, size)
    keep = matrix(data, size, st.booleans()).bool()
    terms = distillation(student, teacher, keep=keep, temperature=0.5)
    kl, squared = loop(student.tolist(), teacher.tolist(), keep.tolist(), 0.5)
    assert terms.kl.item() == pytest.approx(kl, abs=1e-5)
    assert terms.squared.item() == pytest.approx(squared, abs=1e-5)


@given(st.integers(0, 4), st.data())
def test_gradients_are_finite_and_zero_outside_what_is_kept(size, data):
    student = matrix(data, size).requires_grad_()
    keep = matrix(data, size, st.booleans()).bool()
    teacher = matrix(data, size).masked_fill(~keep, torch.nan)
    terms = distillation(student, teacher, keep=keep)
    (terms.kl + terms.squared).backward()
    assert torch.isfinite(student.grad).all()
    assert not student.grad[~keep | torch.eye(size, dtype=torch.bool)].any()


@given(st.integers(0, 4), st.data())
def test_the_order_of_the_texts_does_not_matter(size, data):
    student, teacher = matrix(data, size), matrix(data, size)
    order = torch.tensor(data.draw(st.permutations(range(size))), dtype=torch.long)
    straight = distillation(student, teacher)
    moved = distillation(student[order][:, order], teacher[order][:, order])
    assert straight.kl.item() == pytest.approx(moved.kl.item(), abs=1e-4)
    assert straight.squared.item() == pytest.approx(moved.squared.item(), abs=1e-5)


@given(st.integers(3, 5), st.data())
def test_rests_where_the_student_agrees(size, data):
    student = matrix(data, size).requires_grad_()
    terms = distillation(student, student.detach())
    (terms.kl + terms.squared).backward()
    assert terms.kl.item() == pytest.approx(0, abs=1e-6)
    assert terms.squared.item() == 0
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_nothing_kept_is_zero_with_zero_gradient(size):
    student = torch.ones(size, size, requires_grad=True)
    terms = distillation(student, torch.zeros(size, size), keep=torch.zeros(size, size, dtype=torch.bool))
    (terms.kl + terms.squared).backward()
    assert (terms.kl.item(), terms.squared.item()) == (0, 0)
    assert not student.grad.any()


def test_a_row_with_one_kept_entry_is_not_in_the_mean_of_the_divergence():
    student = torch.tensor([[0.0, 0.3, 0.1], [0.3, 0.0, 0.2], [0.1, 0.2, 0.0]])
    teacher = torch.tensor([[0.0, 0.9, 0.1], [0.9, 0.0, 0.2], [0.1, 0.2, 0.0]])
    keep = torch.tensor([[True, True, True], [False, False, True], [False, False, False]])
    first = student[:1], teacher[:1]
    p, q = ((row[0, 1:] / 0.05).softmax(dim=0) for row in reversed(first))
    assert distillation(student, teacher, keep=keep).kl.item() == pytest.approx((p * (p / q).log()).sum().item())


def test_extreme_cosines_at_the_default_temperature_stay_finite():
    student = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], requires_grad=True)
    terms = distillation(student, -student.detach())
    terms.kl.backward()
    assert math.isfinite(terms.kl.item())
    assert torch.isfinite(student.grad).all()


def test_the_teacher_gets_no_gradient():
    teacher = torch.zeros(3, 3, requires_grad=True)
    terms = distillation(torch.ones(3, 3, requires_grad=True), teacher)
    (terms.kl + terms.squared).backward()
    assert teacher.grad is None


def test_pairs_alone_by_hand():
    similarity, teacher = torch.tensor([0.5, -0.5, 0.0]), torch.tensor([0.1, -0.5, torch.nan])
    keep = torch.tensor([True, True, False])
    assert pair_distillation(similarity, teacher, keep).item() == pytest.approx(0.08)
    assert pair_distillation(similarity[:2], teacher[:2]).item() == pytest.approx(0.08)


def test_no_pairs_are_zero_with_zero_gradient():
    similarity = torch.ones(2, requires_grad=True)
    loss = pair_distillation(similarity, torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not similarity.grad.any()
