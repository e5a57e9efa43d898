"""Figures of an index, on findings by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from flipkd.errors import FlipkdError
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.evaluate import Judged, Refusals, evaluate, read_judged
from flipkd.retrieval.results import Found, Hit


def found(query, candidates, hits):
    """Hits by id and probability; a match is 0.5 or more."""
    return Found(query, tuple(Hit(Entry(i, i), 0.0, 0.0, p, p >= 0.5) for i, p in hits), tuple(candidates))


def index(*findings, held="abcd"):
    """Answers in the order of the findings, holds the entries of one letter, and finds nothing by words."""
    return SimpleNamespace(
        matcher=SimpleNamespace(answer=SimpleNamespace(threshold=0.5), decision=None),
        store=SimpleNamespace(
            known=lambda ids: {i: None for i in ids if i in held}, candidates=lambda queries, *_: [[] for _ in queries]
        ),
        search_many=lambda texts, **_: list(findings),
    )


def test_order_and_refusals_are_counted_by_hand():
    findings = [
        found("q1", "ba", [("a", 0.9), ("b", 0.2)]),  # right behind the first stage, first when verified
        found("q2", "abcd", [("a", 0.4), ("b", 0.3), ("c", 0.2), ("d", 0.1)]),  # right at 3, wrongly refused
        found("q3", "", []),  # answerable, nothing found
        found("q4", "a", [("a", 0.1)]),  # rightly refused
        found("q5", "a", [("a", 0.8)]),  # answered, though nothing answers it
    ]
    judged = Judged(["q1", "q2", "q3", "q4", "q5"], [{"a": 1}, {"c": 2}, {"b": 1}, {}, {"e": 1}])
    got = evaluate(index(*findings), judged, policies={"precision=0.9": 0.85, "recall=0.9": 0.05})
    assert (got.answerable, got.unanswerable) == (3, 2)
    assert (got.bm25.mrr10, got.teacher) == (0.0, None)
    assert got.first_stage.success1 == 0.0
    assert got.first_stage.mrr10 == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert got.verified.success1 == pytest.approx(1 / 3)
    assert got.verified.mrr10 == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert got.verified.ndcg10 == pytest.approx((1 + 1 / np.log2(4) + 0) / 3)
    own, strict, lenient = got.refusals
    assert own == Refusals("f1", 0.5, rightly_refused=0.5, wrongly_refused=2 / 3, right_answers=0.5)
    assert strict == Refusals("precision=0.9", 0.85, rightly_refused=1.0, wrongly_refused=2 / 3, right_answers=1.0)
    assert lenient == Refusals("recall=0.9", 0.05, rightly_refused=0.0, wrongly_refused=1 / 3, right_answers=0.25)


def test_many_queries_are_measured_as_few_are(monkeypatch):
    findings = [found(f"q{n}", "abcd", [(letter, 0.9) for letter in "abcd"]) for n in range(7)]
    judged = Judged([f"q{n}" for n in range(7)], [{"abcd"[n % 4]: 1 + n % 2} for n in range(7)])
    whole = evaluate(index(*findings), judged)
    monkeypatch.setattr("flipkd.retrieval.evaluate._AT_ONCE", 3)
    parts = evaluate(index(*findings), judged)
    for name in ("success1", "mrr10", "ndcg10"):
        assert getattr(parts.verified, name) == pytest.approx(getattr(whole.verified, name))
    assert 0 < whole.verified.ndcg10 < 1


def test_without_unanswerable_queries_there_is_no_share_of_them():
    got = evaluate(index(found("q", "a", [("a", 0.9)])), Judged(["q"], [{"a": 1}]))
    (own,) = got.refusals
    assert np.isnan(own.rightly_refused)
    assert (own.wrongly_refused, own.right_answers) == (0.0, 1.0)


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


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (QUERIES, "9\ta\t1\n", r"qrels.tsv, line 2: there is no query '9'"),
        (QUERIES, "1\ta\t1\n1\ta\t0\n", r"qrels.tsv, line 3: 'a' is judged for '1' a second time"),
        (QUERIES, "1\ta\t-1\n", r"qrels.tsv, line 2: the grade is '-1'"),
        (QUERIES + "1,Again?,test\n", "1\ta\t1\n", r"queries.csv, line 5: the id '1' was there already"),
        (QUERIES + "4, ,test\n", "1\ta\t1\n", r"queries.csv, line 5: the query is empty"),
        ("id,words\n1,How?\n", "1\ta\t1\n", "no column text"),
    ],
)
def test_a_fault_is_one_error_with_its_place(files, queries, qrels, message):
    with pytest.raises(FlipkdError, match=message):
        read_judged(*files(queries, "query_id\tdoc_id\tgrade\n" + qrels))
