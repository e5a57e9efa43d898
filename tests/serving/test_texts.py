import pytest

from flipkd.serving.errors import Refused
from flipkd.serving.texts import broadcast, check_limits

NAMES = ("queries", "documents")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a", "b", [("a", "b")]),
        ("a", ["b", "c"], [("a", "b"), ("a", "c")]),
        (["a"], ["b", "c"], [("a", "b"), ("a", "c")]),
        (["a", "b"], "c", [("a", "c"), ("b", "c")]),
        (["a", "b"], ["c", "d"], [("a", "c"), ("b", "d")]),
        (["a"], ["b"], [("a", "b")]),
    ],
)
def test_a_text_is_held_against_a_list_and_lists_are_zipped(first, second, expected):
    assert broadcast(first, second, NAMES) == expected


@pytest.mark.parametrize(
    ("first", "second", "code", "words"),
    [
        (["a", "b"], ["c", "d", "e"], "lengths_differ", "queries has 2 texts and documents has 3"),
        ([], ["a"], "empty", "queries is empty"),
        ("a", [], "empty", "documents is empty"),
    ],
)
def test_other_lists_are_refused(first, second, code, words):
    with pytest.raises(Refused, match=words) as refused:
        broadcast(first, second, NAMES)
    assert (refused.value.status, refused.value.detail.code) == (400, code)


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        ([("a", "b")] * 4, "too_many_rows", "4 rows are too many: at most 3"),
        ([("a", "b"), ("a", "secret" * 3)], "text_too_long", "Row 1 has a text of 18 characters: at most 10"),
        ([("a", " \n")], "empty_text", "Row 0 has an empty text"),
        ([("a", "b"), ("a", " "), ("", "b")], "empty_text", "Row 1 has an empty text"),
    ],
)
def test_limits_name_the_row_and_never_the_text(rows, code, words):
    with pytest.raises(Refused, match=words) as refused:
        check_limits(rows, max_rows=3, max_characters=10, param="documents")
    assert (refused.value.detail.code, refused.value.detail.param) == (code, "documents")
    assert "secret" not in str(refused.value)


def test_a_text_of_many_rows_is_looked_at_once(monkeypatch):
    """A long text that shows nothing until its end, held against a thousand, would keep the server for seconds."""
    seen = []
    monkeypatch.setattr("flipkd.serving.texts.is_empty", seen.append)
    check_limits([("query", str(number % 3)) for number in range(1000)], max_rows=1000, max_characters=10, param="x")
    assert seen == ["query", "0", "1", "2"]
