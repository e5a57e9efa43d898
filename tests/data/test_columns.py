from itertools import permutations

import pytest

from flipkd.data.columns import LABELS, TEXT_PAIRS, find_columns
from flipkd.errors import FlipkdError


def roles(header, explicit=None, labelled=True):
    found = find_columns(header, explicit, labelled=labelled, source="x.csv")
    label = None if found.label is None else header[found.label]
    return header[found.text_a], header[found.text_b], label, [header[place] for place in found.extra]


@pytest.mark.parametrize("header", list(permutations(["text_a", "text_b", "label"])))
def test_order_does_not_matter(header):
    assert roles(header) == ("text_a", "text_b", "label", [])


@pytest.mark.parametrize(
    "header",
    [
        ["question1", "question2", "is_duplicate"],
        ["sent1", "sent2", "y"],
        ["query", "title", "rel"],
        ["Sentence 1", " SENTENCE2 ", "Gold-Label"],
        ["premise", "hypothesis", "label"],
    ],
)
def test_aliases(header):
    assert roles(header) == (*header, [])


def test_our_own_names_are_meant_whatever_else_could_be():
    """Such as the answers of another system, whose texts the user has named so."""
    header = ["question", "answer", "text_b", "text_a", "label"]
    assert roles(header) == ("text_a", "text_b", "label", ["question", "answer"])


@pytest.mark.parametrize("pair", TEXT_PAIRS)
def test_every_alias_pair_is_found_alone(pair):
    assert roles([pair[1], "label", pair[0]]) == (*pair, "label", [])


def test_no_text_alias_is_a_label_alias():
    assert not {name for pair in TEXT_PAIRS for name in pair} & set(LABELS)


def test_other_columns_are_kept_in_order():
    assert roles(["id", "text_b", "note", "text_a", "label"])[3] == ["id", "note"]


def test_unlabelled_keeps_the_label_as_extra():
    assert roles(["a", "b", "label", "y"], labelled=False) == ("a", "b", None, ["label", "y"])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["question1", "text_b", "label"], "no two columns.*'question1', 'text_b', 'label'.*--columns.text_a"),
        (["query", "title", "document", "label"], "more than one pair.*'query' and 'title'; 'query' and 'document'"),
        (["text_a", "text_b", "Text A", "label"], "more than one pair"),
        (["text_a", "text_b"], "no column has the name of a label.*'text_a', 'text_b'.*--columns.label"),
        (["text_a", "text_b", "label", "match"], "more than one column could be the label: 'label', 'match'"),
        (["text_a", "text_b", "text_a"], "more than one column is named 'text_a'"),
        (["text_a;text_b;label"], "parted by another character"),
    ],
)
def test_what_cannot_be_told_is_asked(header, message):
    with pytest.raises(FlipkdError, match=rf"x\.csv: .*{message}"):
        roles(header)


def test_named_columns_settle_it():
    header = ["query", "title", "document", "label", "match"]
    named = {"text_a": "Document ", "text_b": "title", "label": "match"}
    assert roles(header, named) == ("document", "title", "match", ["query", "label"])


def test_a_label_can_be_named_alone():
    assert roles(["text_a", "text_b", "graded"], {"label": "graded"})[2] == "graded"


@pytest.mark.parametrize(
    "named",
    [
        {"text_a": "query"},
        {"text_a": "query", "text_b": "nowhere"},
        {"text_a": "query", "text_b": "query"},
        {"text_a": "query", "text_b": "label", "label": "label"},
        {"score": "label"},
    ],
)
def test_bad_names_are_refused(named):
    with pytest.raises(FlipkdError, match=r"x\.csv"):
        roles(["query", "title", "label"], named)
