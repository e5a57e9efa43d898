"""FAQ files, and what is refused in them."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flipkd.errors import FlipkdError
from flipkd.retrieval.entries import Entry, check_entries, content_hash, read_entries


@pytest.fixture
def file(tmp_path):
    def write(text, name="faq.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_columns_are_found_by_name_and_the_others_kept(file):
    found = read_entries(file("topic,Answer,ID,Question\ncards,In the app.,007,How?\n"))
    assert found == [Entry("007", "How?", "In the app.", {"topic": "cards"})]


def test_columns_can_be_named(file):
    found = read_entries(file("key,asked\na,How?\n"), columns={"id": "key", "question": "asked"})
    assert found == [Entry("a", "How?")]


def test_json_lines_are_read_too(file):
    assert read_entries(file('{"id": 3, "question": "怎么办？"}\n', "faq.jsonl")) == [Entry("3", "怎么办？")]


def test_without_ids_an_entrys_id_comes_of_its_question(file):
    found = read_entries(file("question\nHow?\nWhy?\n"))
    assert [entry.id for entry in found] == [content_hash(text)[:16] for text in ("How?", "Why?")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,question\na,How?\nb,Why?\na,Who?\n", "faq.csv, line 4: the id 'a' is that of .*faq.csv, line 2 too"),
        ("id,question\na,How?\nb, \n", "faq.csv, line 3: the question is empty"),
        ("id,question\n,How?\n", "faq.csv, line 2: the id is empty"),
        ("id,question,note,note\na,How?,kept,lost\n", "more than one column is named 'note'"),
        ("id,words\na,How?\n", "no column is named question.*--columns.question NAME"),
        ("id;question\na;How?\n", "no column is named question.*--delimiter"),
        ("id,question\n", "no entry in it"),
        ("question\nHow?\nHow?\n", "line 3: the question is that of .*line 2 too. Drop one, or give both ids"),
    ],
)
def test_a_fault_is_one_error_with_its_place(file, text, message):
    with pytest.raises(FlipkdError, match=message):
        read_entries(file(text))


def test_a_named_column_has_to_be_there(file):
    with pytest.raises(FlipkdError, match="columns are named for id, question and answer"):
        read_entries(file("id,question\na,b\n"), columns={"question": "missing"})


def test_entries_from_python_are_counted():
    with pytest.raises(FlipkdError, match="entry 2: the id 'a' is that of entry 1 too"):
        check_entries([Entry("a", "x"), Entry("a", "y")])


@pytest.mark.parametrize("entry", [Entry(1, "x"), Entry("1", None), Entry("1", "x", 2.5)])
def test_an_entry_of_something_else_than_strings_is_named(entry):
    with pytest.raises(FlipkdError, match=r"entry 2: the (id|question|answer) is .*; it must be a string"):
        check_entries([Entry("a", "x"), entry])


def test_the_answer_joins_the_text_where_asked():
    assert Entry("a", "How?", "So.").text(True) == "How?\nSo."
    assert Entry("a", "How?", "So.").text(False) == Entry("a", "How?").text(True) == "How?"


def test_further_columns_are_kept_as_written_and_what_is_missing_is_empty(tmp_path):
    table = pa.table(
        {
            "id": ["a"],
            "question": ["How?"],
            "answer": pa.array([float("nan")]),
            "tags": [["x", "y"]],
            "on": [date(2026, 1, 2)],
            "live": [True],
            "weight": pa.array([float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "faq.parquet")
    extra = {"tags": '["x", "y"]', "on": "2026-01-02", "live": "true", "weight": ""}
    assert read_entries(str(tmp_path / "faq.parquet")) == [Entry("a", "How?", "", extra)]


def test_a_cell_that_is_no_text_is_named_with_its_column(file):
    with pytest.raises(FlipkdError, match=r"line 1: column 'question' holds \['x'\], which is no text"):
        read_entries(file('{"id": "a", "question": ["x"]}\n', "faq.jsonl"))


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x0b", "\x1f"])
def test_an_id_that_the_engine_cannot_look_up_is_refused_with_its_line(file, character):
    text = json.dumps({"id": f"a{character}", "question": "How?"}) + "\n"
    with pytest.raises(FlipkdError, match=r"faq.jsonl, line 1: the id .* has a control character"):
        read_entries(file(text, "faq.jsonl"))
