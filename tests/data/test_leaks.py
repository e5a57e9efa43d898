"""What two splits have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.data.identity import text_key
from flipkd.data.leaks import describe_leak, find_leaks, near_texts
from flipkd.data.table import PairTable


def table(source, *rows):
    a, b, label = zip(*rows, strict=True)
    return PairTable(list(a), list(b), np.array(label), source, list(range(2, len(rows) + 2)), {})


TRAIN = table(
    "train.csv",
    ("How do I reset my PIN?", "I forgot my PIN", 1),
    ("Where is my card, please?", "My card has not arrived", 1),
    ("What is the exchange rate today?", "Can I get a mortgage?", 0),
)


def leaks(*rows, near=0.8):
    return [(leak.kind, leak.other, leak.contradicts) for leak in find_leaks(table("test.csv", *rows), TRAIN, near)]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (("how do i reset my pin?", "I forgot my  PIN", 1), ("same pair", 0, False)),
        (("How do I reset my PIN?", "I forgot my PIN", 0), ("same pair", 0, True)),
        (("My card has not arrived", "Where is my card, please?", 0), ("swapped pair", 1, True)),
        (("How do I reset my PIN??", "I forgot my PIN", 1), ("near pair", 0, False)),
        (("My card has not arrived!", "Where is my card, please?", 1), ("near pair", 1, False)),
        (("What is the exchange rate today", "Open an account", 1), ("near text", 2, True)),
    ],
)
def test_each_kind_of_leak_is_told_apart(row, found):
    assert leaks(row) == [found]


def test_a_text_in_other_pairs_and_other_texts_are_no_leak():
    assert leaks(("How do I reset my PIN?", "Open an account", 0), ("Pay a bill", "Close my account", 0)) == []


def test_the_worst_come_first_and_each_pair_once():
    found = find_leaks(
        table(
            "test.csv",
            ("What is the exchange rate today", "Open an account", 1),
            ("How do I reset my PIN??", "I forgot my PIN", 1),
            ("I forgot my PIN", "How do I reset my PIN?", 1),
            ("Where is my card, please?", "My card has not arrived", 1),
            ("How do I reset my PIN?", "I forgot my PIN", 0),
        ),
        TRAIN,
        0.8,
    )
    assert [(leak.kind, leak.row) for leak in found] == [
        ("same pair", 4), ("same pair", 3), ("swapped pair", 2), ("near pair", 1), ("near text", 0),
    ]  # fmt: skip


def test_a_leak_is_listed_with_both_its_pairs():
    test = table("test.csv", ("How do I reset my PIN?", "I forgot my PIN", 0))
    (leak,) = find_leaks(test, TRAIN, 0.8)
    mine, theirs = describe_leak(test, TRAIN, leak, 7)
    assert (mine.source, mine.line, mine.label, mine.further) == ("test.csv", 2, 0, {"leak": "7"})
    assert (theirs.source, theirs.line, theirs.label, theirs.further) == ("train.csv", 2, 1, {"leak": "7"})
    assert mine.why == "same pair as train.csv, line 2; the labels differ"


def pieces(text):
    return {text[at : at + 3] for at in range(len(text) - 2)}


TEXT = st.text(alphabet="abc你", max_size=9).map(text_key)


@given(st.lists(TEXT, min_size=1, unique=True), st.lists(TEXT, min_size=1, unique=True), st.sampled_from([0.3, 0.8, 1]))
@settings(max_examples=60)
def test_near_is_the_jaccard_overlap_of_pieces_by_hand(left, right, near):
    by_hand = {}
    for one in left:
        for other in right:
            both, either = pieces(one) & pieces(other), pieces(one) | pieces(other)
            if one == other:
                by_hand.setdefault(one, {})[other] = 1.0
            elif both and len(both) / len(either) >= near:
                by_hand.setdefault(one, {})[other] = min(len(both) / len(either), 0.999)
    found = near_texts(left, right, near)
    assert found == {one: pytest.approx(others) for one, others in by_hand.items()}


def test_more_texts_than_a_block_are_compared_alike(monkeypatch):
    texts = [f"the card number {number} is lost" for number in range(20)]
    whole = near_texts(texts, texts[::-1], 0.6)
    monkeypatch.setattr("flipkd.data.leaks.BLOCK", 3)
    assert near_texts(texts, texts[::-1], 0.6) == whole
    assert any(len(others) > 1 for others in whole.values())
