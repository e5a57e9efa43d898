import numpy as np
import pytest

from flipkd.data.labels import MATCH, NO_MATCH, label_of, parse_labels
from flipkd.errors import FlipkdError


def parse(values):
    return parse_labels(values, [f"line {n}" for n in range(2, len(values) + 2)], "x.csv", "label")


@pytest.mark.parametrize(
    "values",
    [["1", "0"], [1.0, 0.0], ["yes", "no"], [True, False], ["1 ", "0"], [1, 0], ["是", "否"], ["TRUE", " False"]],
)
def test_ways_to_write_a_label(values):
    parsed = parse(values)
    assert parsed.dtype == np.int64
    assert parsed.tolist() == [1, 0]


def test_no_word_means_both():
    assert not set(MATCH) & set(NO_MATCH)
    assert all(label_of(word.upper().replace(" ", "_")) == 1 for word in MATCH)
    assert all(label_of(word.upper().replace(" ", "-")) == 0 for word in NO_MATCH)


@pytest.mark.parametrize(
    "value",
    [
        *(2, -1, 0.7, float("nan"), None, "", "2", "0.5", "maybe", [1], {"a": 1}, b"1"),
        *("-1", "-1.0", "_1", "1_", "-yes", "-"),
    ],
)
def test_anything_else_is_no_label(value):
    assert label_of(value) is None
    with pytest.raises(FlipkdError, match=r"x\.csv.*'label'.*line 3: "):
        parse([1, value])


def test_the_error_lists_five_of_many():
    with pytest.raises(FlipkdError) as caught:
        parse([0, *range(1, 10)])
    message = str(caught.value)
    assert "line 4: 2; line 5: 3; line 6: 4; line 7: 5; line 8: 6 and 3 more" in message
    assert "line 9" not in message


def test_one_class_alone_is_read():
    assert parse(["1", "1"]).tolist() == [1, 1]
