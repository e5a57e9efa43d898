"""Queries and judgements, from files as they come."""

import pytest

from flipkd.errors import FlipkdError
from flipkd.retrieval.judged import Judged, read_judged


@pytest.fixture
def files(tmp_path):
    def write(queries, qrels):
        (tmp_path / "queries.csv").write_text(queries, encoding="utf-8")
        (tmp_path / "qrels.tsv").write_text(qrels, encoding="utf-8")
        return str(tmp_path / "queries.csv"), str(tmp_path / "qrels.tsv")

    return write


QUERIES = "id,text,split\n1,How?,test\n2,Why?,test\n3,Who?,train\n"


def test_judgements_are_read_for_the_chosen_split(files):
    paths = files(QUERIES, "query_id\tdoc_id\tgrade\n1\ta\t2\n1\tb\t0\n3\ta\t1\n")
    assert read_judged(*paths, split="test") == Judged(["How?", "Why?"], [{"a": 2}, {}])
    assert read_judged(*paths).texts == ["How?", "Why?", "Who?"]


def test_columns_have_the_names_that_public_sets_give_them_in_any_case(files):
    paths = files("_ID,Text\n1,How?\n", "query-id\tcorpus-id\tscore\n1\ta\t2\n")
    assert read_judged(*paths) == Judged(["How?"], [{"a": 2}])


def test_another_encoding_and_delimiter_are_read_if_named(tmp_path):
    queries, qrels = tmp_path / "queries.csv", tmp_path / "qrels.csv"
    queries.write_bytes("id;text\n1;Wie geht das für Köln?\n".encode("cp1252"))
    qrels.write_text("query_id;doc_id;grade\n1;a;1\n")
    read = read_judged(str(queries), str(qrels), encoding="cp1252", delimiter=";")
    assert read.texts == ["Wie geht das für Köln?"]


def test_queries_that_nobody_judged_are_warned_of(files, capsys):
    read_judged(*files(QUERIES, "query_id\tdoc_id\tgrade\n1\ta\t2\n"))
    assert "2 of 3 queries are not in it" in " ".join(capsys.readouterr().err.split())
    read_judged(*files(QUERIES, "query_id\tdoc_id\tgrade\n1\ta\t2\n2\ta\t0\n3\tb\t1\n"))
    assert "not in it" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (QUERIES, "9\ta\t1\n", r"qrels.tsv, line 2: there is no query '9'"),
        (QUERIES, "1\ta\t1\n1\ta\t0\n", r"qrels.tsv, line 3: 'a' is judged for '1' a second time"),
        (QUERIES, "1\ta\t-1\n", r"qrels.tsv, line 2: the grade is '-1'"),
        (QUERIES + "1,Again?,test\n", "1\ta\t1\n", r"queries.csv, line 5: the id '1' was there already"),
        (QUERIES + "4, ,test\n", "1\ta\t1\n", r"queries.csv, line 5: the query is empty"),
        ("id,words\n1,How?\n", "1\ta\t1\n", "no column text; it has id, words. Rename"),
        ("id;text\n1;How?\n", "1\ta\t1\n", "no column id, text; .* name it, --delimiter"),
    ],
)
def test_a_fault_is_one_error_with_its_place(files, queries, qrels, message):
    with pytest.raises(FlipkdError, match=message):
        read_judged(*files(queries, "query_id\tdoc_id\tgrade\n" + qrels))
