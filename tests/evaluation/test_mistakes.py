"""Which answers are looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.mistakes import likely_label_noise, worst_mistakes


def test_mistakes_are_what_was_decided_wrongly_the_most_confident_first():
    label = [1, 0, 1, 0, 1]
    probability = [0.9, 0.95, 0.45, 0.42, 0.1]
    match = np.array(probability) >= 0.4
    assert worst_mistakes(label, probability, match).tolist() == [1, 4, 3]


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.floats(0, 1))
def test_no_right_decision_is_listed_and_no_wrong_one_left_out(pairs, threshold):
    label, probability = map(np.array, zip(*pairs, strict=True))
    found = worst_mistakes(label, probability, probability >= threshold)
    assert set(found.tolist()) == {row for row, (y, p) in enumerate(pairs) if (p >= threshold) != y}
    off = np.abs(probability - label)[found]
    assert (np.diff(off) <= 0).all()


def noise(label, probability, teacher, sure=0.8):
    return likely_label_noise(label, probability, teacher, tau_p=0.7, tau_n=0.3, sure=sure).tolist()


@pytest.mark.parametrize(
    ("label", "probability", "teacher", "found"),
    [
        (0, 0.9, 0.8, True),
        (0, 0.8, 0.7, True),
        (0, 0.79, 0.9, False),
        (0, 0.9, 0.69, False),
        (1, 0.9, 0.8, False),
        (1, 0.1, 0.2, True),
        (1, 0.1, 0.31, False),
        (1, 0.21, 0.1, False),
        (0, 0.1, 0.1, False),
    ],
)
def test_both_must_be_sure_of_the_other_label(label, probability, teacher, found):
    assert noise([label], [probability], [teacher]) == ([0] if found else [])


def test_the_surest_come_first():
    assert noise([0, 1, 0], [0.85, 0.02, 0.9], [0.9, 0.1, 0.9]) == [1, 2, 0]


@pytest.mark.parametrize("sure", [0.5, 1.0, 80])
def test_sure_is_more_than_even_and_less_than_certain(sure):
    with pytest.raises(FlipkdError, match=r"between 0\.5 and 1"):
        noise([0], [0.9], [0.9], sure)
