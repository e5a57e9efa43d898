import numpy as np
import pytest

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError


def table(pairs, label=None, source="x.csv"):
    a, b = (list(side) for side in zip(*pairs, strict=True))
    lines = list(range(2, len(a) + 2))
    return PairTable(
        a, b, None if label is None else np.asarray(label), source, lines, {"id": [f"r{n}" for n in lines]}
    )


def test_select_keeps_every_column_in_step():
    chosen = table([("a", "b"), ("c", "d"), ("e", "f")], [1, 0, 1]).select([2, 0, 2])
    assert chosen.text_a == ["e", "a", "e"]
    assert chosen.text_b == ["f", "b", "f"]
    assert chosen.label.tolist() == [1, 1, 1]
    assert chosen.line == [4, 2, 4]
    assert chosen.extra == {"id": ["r4", "r2", "r4"]}


def test_select_takes_a_mask_as_a_mask():
    assert table([("a", "b"), ("c", "d"), ("e", "f")]).select(np.asarray([False, True, True])).text_a == ["c", "e"]


def test_select_nothing():
    assert len(table([("a", "b")], [1]).select([])) == 0


def test_texts_are_distinct_in_order_of_first_appearance():
    assert table([("b", "a"), ("c", "b"), ("a", "d")]).texts() == ["b", "a", "c", "d"]


def test_digest_ignores_name_and_lines():
    one = table([("a", "b")], [1])
    other = PairTable(["a"], ["b"], np.asarray([1]), "y.jsonl", [77], {})
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    "other",
    [
        table([("ab", "c"), ("d", "e")], [1, 0]),
        table([("b", "ac"), ("d", "e")], [1, 0]),
        table([("a", "bc"), ("d", "e")], [1, 1]),
        table([("a", "bc"), ("d", "e")]),
        table([("d", "e"), ("a", "bc")], [0, 1]),
        table([("bc", "a"), ("e", "d")], [1, 0]),
    ],
    ids=["border moved", "border moved back", "label", "no labels", "order", "sides"],
)
def test_digest_tells_contents_apart(other):
    assert table([("a", "bc"), ("d", "e")], [1, 0]).digest() != other.digest()


def test_require_labels_names_the_file():
    with pytest.raises(FlipkdError, match=r"x\.csv.*label"):
        table([("a", "b")]).require_labels()


def test_digest_sees_where_one_text_of_a_side_ends():
    assert table([("ab", "x"), ("c", "x")]).digest() != table([("a", "x"), ("bc", "x")]).digest()
