import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.losses.masks import label_sets, matrix_sets, threshold_sets

TAU_P, TAU_N = 0.5, 0.25  # exact in float32, so that equality at a threshold is tested
COSINE = st.one_of(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), st.floats(-1, 1, width=32))
SIZE = st.integers(0, 4)


@pytest.mark.parametrize(
    ("label", "teacher", "positive", "negative"),
    [
        (1, 0.9, True, False),
        (1, TAU_N, True, False),  # between the thresholds the label decides
        (1, 0.2, False, False),  # the teacher contradicts the match
        (0, -0.9, False, True),
        (0, TAU_P, False, True),
        (0, 0.6, False, False),  # the teacher contradicts the non-match
        (1, float("nan"), False, False),
        (0, float("nan"), False, False),
    ],
)
def test_label_sets_follow_the_table(label, teacher, positive, negative):
    p, n = label_sets(torch.tensor([teacher]), torch.tensor([label]), TAU_P, TAU_N)
    assert (p.item(), n.item()) == (positive, negative)


@pytest.mark.parametrize(
    ("teacher", "positive", "negative"),
    [
        (0.9, True, False),
        (TAU_P, True, False),
        (0.4, False, False),
        (TAU_N, False, True),
        (-1.0, False, True),
    ],
)
def test_threshold_sets_ask_no_label(teacher, positive, negative):
    p, n = threshold_sets(torch.tensor([teacher]), TAU_P, TAU_N)
    assert (p.item(), n.item()) == (positive, negative)


def test_matrix_sets_by_hand():
    teacher = torch.tensor([[0.9, 0.7, 0.55], [0.1, 0.1, 0.4], [0.9, 0.9, 0.9]])
    known = torch.tensor([[1, -1, -1], [-1, 0, -1], [0, -1, 0]])
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[2, 1] = True
    positive, negative = matrix_sets(teacher, known, same, TAU_P, TAU_N, random_ceiling=0.6)
    assert positive.tolist() == [
        [True, True, False],  # labelled match; unknown above both bars; unknown below what random pairs reach
        [False, False, False],
        [False, False, False],  # equal texts are dropped
    ]
    assert negative.tolist() == [
        [False, False, False],
        [True, True, False],  # unknown below tau_n; labelled non-match; unknown in between
        [False, False, False],  # labelled non-matches the teacher contradicts are dropped
    ]


def test_a_known_label_beats_the_thresholds():
    teacher = torch.tensor([[0.4, 0.1], [0.9, 0.4]])
    known = torch.tensor([[1, 1], [0, 0]])
    positive, negative = matrix_sets(teacher, known, torch.zeros(2, 2, dtype=torch.bool), TAU_P, TAU_N, 0.5)
    assert positive.tolist() == [[True, False], [False, False]]
    assert negative.tolist() == [[False, False], [False, True]]


def test_what_random_pairs_reach_is_not_trusted():
    teacher = torch.full((1, 1), 0.75)
    unknown, same = torch.full((1, 1), -1), torch.zeros(1, 1, dtype=torch.bool)
    assert not matrix_sets(teacher, unknown, same, TAU_P, TAU_N, random_ceiling=0.75)[0].item()
    assert matrix_sets(teacher, unknown, same, TAU_P, TAU_N, random_ceiling=0.74)[0].item()


@settings(max_examples=60)
@given(SIZE, st.data())
def test_matrix_sets_are_disjoint_and_follow_a_permuted_batch(size, data):
    cells = size * size
    teacher = torch.tensor(data.draw(st.lists(COSINE, min_size=cells, max_size=cells))).reshape(size, size)
    labels = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=cells, max_size=cells))
    known = torch.tensor(labels, dtype=torch.long).reshape(size, size)
    texts = data.draw(st.lists(st.booleans(), min_size=cells, max_size=cells))
    same = torch.tensor(texts, dtype=torch.bool).reshape(size, size)
    order = torch.tensor(data.draw(st.permutations(range(size))), dtype=torch.long)

    def moved(matrix):
        return matrix[order][:, order]

    positive, negative = matrix_sets(teacher, known, same, TAU_P, TAU_N, 0.6)
    assert not (positive & negative).any()
    assert not ((positive | negative) & same).any()
    again = matrix_sets(moved(teacher), moved(known), moved(same), TAU_P, TAU_N, 0.6)
    assert torch.equal(again[0], moved(positive))
    assert torch.equal(again[1], moved(negative))
