"""Figures of an index, on findings by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from flipkd.errors import FlipkdError
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.evaluate import Refusals, evaluate
from flipkd.retrieval.judged import Judged
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


def test_judgements_of_which_the_index_holds_none_are_an_error_that_shows_both_sides():
    """Other ids are likelier than an index without a single right entry."""
    fake = index(found("q", "a", [("a", 0.9)]))
    fake.store = type("Held", (list,), {"known": lambda *_: {}})([SimpleNamespace(entry=Entry("a", "a"))])
    with pytest.raises(FlipkdError, match=r"none of the 2 entries .* such as 'A'\. .* own ids, such as 'a'"):
        evaluate(fake, Judged(["q", "r"], [{"A": 1}, {"B": 1}]))
