import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from flipkd.data.given import given_pairs, given_texts
from flipkd.errors import FlipkdError

TABLE = pd.DataFrame({"q1": ["a", "b"], "q2": ["c", "d"]})


@pytest.mark.parametrize(
    "texts", [["a", "b"], ("a", "b"), np.array(["a", "b"]), TABLE["q1"], iter(["a", "b"]), {"a": 0, "b": 0}.keys()],
    ids=["list", "tuple", "array", "series", "iterator", "keys"],
)  # fmt: skip
def test_what_holds_texts_is_taken(texts):
    assert given_texts(texts) == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("ab", "not str 'ab'"),
        ({"q1": ["a"]}, "not dict"),
        (TABLE, "not DataFrame"),
        (["a", None], "item 2: NoneType None is no text"),
        (["a", float("nan")], "item 2: float nan is no text"),
        (Dataset.from_pandas(TABLE), "item 1: dict is no text"),
    ],
    ids=["a text", "dictionary", "data frame", "none", "nan", "data set"],
)
def test_what_only_iterates_like_texts_is_refused(texts, words):
    with pytest.raises(FlipkdError, match=words):
        given_texts(texts)


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "c"), ["b", "d"]], zip(TABLE["q1"], TABLE["q2"], strict=True), TABLE.to_numpy(),
        TABLE.to_records(index=False), [row for _, row in TABLE.iterrows()],
    ],
    ids=["list", "zip", "array", "records", "series"],
)  # fmt: skip
def test_what_holds_pairs_is_taken(pairs):
    assert given_pairs(pairs) == (["a", "b"], ["c", "d"])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (TABLE, "item 1: str 'q1' is no pair"),
        (Dataset.from_pandas(TABLE), "item 1: dict is no pair"),
        ([{"a", "b"}], "item 1: set is no pair"),
        (["ab", "cd"], "item 1: str 'ab' is no pair"),
        ([("a", "b"), ("a", "b", 1)], "item 2: tuple is no pair"),
        ([("a", None)], "text b, item 1: NoneType None is no text"),
    ],
    ids=["data frame", "data set", "set", "texts of two letters", "three", "none"],
)
def test_what_only_iterates_like_pairs_is_refused(pairs, words):
    with pytest.raises(FlipkdError, match=words):
        given_pairs(pairs)
