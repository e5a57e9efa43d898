"""How test pairs are cut in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.evaluation.slices import MOST, by_values, slices_of, thirds


def table(text_a, text_b, **extra):
    n = len(text_a)
    return PairTable(text_a, text_b, np.zeros(n, dtype=np.int64), "made.csv", list(range(2, n + 2)), extra)


@given(
    st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.0000001, 1e6, 1000001.0]) | st.floats(-5, 5), min_size=1, max_size=60)
)
def test_every_pair_is_in_one_third_and_equal_values_stay_together(values):
    masks = list(thirds(np.array(values)).values())
    assert len(masks) <= 3
    assert np.sum(masks, axis=0).tolist() == [1] * len(values)
    for value in set(values):
        holding = [mask for mask in masks if mask[np.array(values) == value].any()]
        assert len(holding) == 1
        assert holding[0][np.array(values) == value].all()


def test_distinct_values_are_cut_evenly():
    masks = thirds(np.arange(90.0))
    assert list(masks) == ["0 to 29", "30 to 59", "60 to 89"]
    assert [int(mask.sum()) for mask in masks.values()] == [30, 30, 30]


def test_lengths_and_overlaps_are_those_of_both_texts():
    made = table(["ab", "a b c", "x" * 50], ["cd", "a b c", "y" * 50])
    found = slices_of(made)
    assert list(found) == ["length (characters of both texts)", "word overlap (Jaccard)"]
    assert list(found["length (characters of both texts)"]) == ["4", "10", "100"]
    assert found["word overlap (Jaccard)"]["1"].tolist() == [False, True, False]


def test_a_column_is_cut_by_its_values():
    found = slices_of(table(["a"] * 3, ["b"] * 3, source=["web", "", "web"]), ["source"])["source"]
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "web": [True, False, True],
        "(empty)": [False, True, False],
    }


def test_many_numbers_are_cut_in_thirds_and_rare_words_taken_together():
    assert list(by_values([str(number) for number in range(60)])) == ["0 to 19", "20 to 39", "40 to 59"]
    words = ["often"] * 5 + [f"word {number}" for number in range(MOST + 3)]
    found = by_values(words)
    assert len(found) == MOST
    assert found[f"({MOST + 4 - (MOST - 1)} rarer values)"].sum() == MOST + 4 - (MOST - 1)
    assert np.sum(list(found.values()), axis=0).tolist() == [1] * len(words)


def test_no_value_is_lost_to_the_name_of_another_part():
    rarer = [f"word {number}" for number in range(MOST + 3)]
    for cells in (["(empty)", "", "x", "((empty))"], [*["(4 rarer values)"] * 9, *[""] * 9, *rarer]):
        found = by_values(cells)
        assert np.sum(list(found.values()), axis=0).tolist() == [1] * len(cells)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(FlipkdError, match=r"made\.csv has no column 'kind' to cut by.*: 'source'"):
        slices_of(table(["a"], ["b"], source=["web"]), ["kind"])
