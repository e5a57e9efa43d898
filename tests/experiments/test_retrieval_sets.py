"""Retrieval sets are read as they are written, and what does not fit together is named."""

import numpy as np
import pytest

from experiments.collections_by_hand import ENTRIES, QUERIES, write_set
from flipkd.errors import FlipkdError
from flipkd.experiments.retrieval_sets import Queries, RetrievalSet, read_collection

TOY = RetrievalSet("toy", "toys", "faq.jsonl.gz", ("question", "answer"))


def test_entries_queries_and_grades(tmp_path):
    found = read_collection(TOY, write_set(tmp_path))
    assert found.ids == [entry["id"] for entry in ENTRIES]
    assert found.texts[0] == "how do i reset my pin\nsend a text"
    assert list(found.queries) == ["train", "validation", "test"]
    test = found.queries["test"]
    assert test.ids == ["x0", "x1", "x2"]
    assert test.texts[0] == "close account"
    np.testing.assert_array_equal(test.grades[0], [0, 0, 1, 2, 0, 0])


def test_queries_nobody_judged_and_queries_of_a_later_split_are_left_out(tmp_path):
    found = read_collection(TOY, write_set(tmp_path))
    # t2 has no relevant entry, and t3 is v1 in capitals.
    assert found.queries["train"].ids == ["t0", "t1"]
    assert "v1" in found.queries["validation"].ids


def test_a_list_of_strings_is_one_text(tmp_path):
    entries = [{"id": entry["id"], "questions": [entry["question"], "or so"]} for entry in ENTRIES]
    listed = RetrievalSet("toy", "toys", "faq.jsonl.gz", ("questions",))
    assert read_collection(listed, write_set(tmp_path, entries=entries)).texts[1].endswith("new card or so")


def test_a_sample_is_the_same_each_time_and_in_order(tmp_path):
    queries = read_collection(TOY, write_set(tmp_path)).queries["test"]
    some = queries.sample(2)
    assert some.ids == queries.sample(2).ids == sorted(some.ids)
    assert len(some) == 2
    for query, grades in zip(some.ids, some.grades, strict=True):
        np.testing.assert_array_equal(grades, queries.grades[queries.ids.index(query)])
    assert queries.sample(None).ids == queries.sample(99).ids == queries.ids


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"test": [("x0", "e9", 1)]}, "qrels_test.*line 2.*no entry 'e9'"),
        ({"test": [("x0", "e1", 1), ("t0", "e1", 1)]}, "qrels_test.*line 3.*no query 't0'"),
        ({"train": [("t0", "e1", "good")]}, "line 2.*grade is 'good'"),
        ({"train": [("t0", "e1", 0)]}, "no train query"),
        ({"entries": [*ENTRIES, ENTRIES[0]]}, "line 7.*'e0' was there"),
        ({"entries": [{"id": "e0", "question": " ", "answer": ""}]}, "line 1.*empty"),
        ({"entries": [{"id": "e0", "question": "what"}]}, "no answer in it"),
        ({"entries": [*ENTRIES, {"id": "e9", "question": 7, "answer": ""}]}, "line 7: question is 7"),
        ({"queries": [*QUERIES, ("y", "what", "dev")]}, "line 11: the split is 'dev'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changed, said):
    with pytest.raises(FlipkdError, match=said):
        read_collection(TOY, write_set(tmp_path, **changed))


@pytest.mark.parametrize("file", ["faq.jsonl.gz", "queries.jsonl.gz", "qrels_validation.tsv.gz"])
def test_a_missing_file_is_named(tmp_path, file):
    (write_set(tmp_path) / "toy" / file).unlink()
    with pytest.raises(FlipkdError, match=f"no .*{file}"):
        read_collection(TOY, tmp_path)


def test_queries_with_a_relevant_entry_in_common_are_one_group_at_once_or_by_others():
    grades = np.array([[1, 0, 0, 0], [2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.int8)
    group = Queries(list("abcd"), list("abcd"), grades).groups().tolist()
    assert group[0] == group[1] == group[2] != group[3]
