"""BM25 alone and a teacher alone, over a real index."""

from types import SimpleNamespace

import numpy as np
import pytest

from flipkd import FaqIndex, FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.baselines import baseline_teacher, bm25_order, teacher_order
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.evaluate import evaluate
from flipkd.retrieval.judged import Judged
from flipkd.teacher.teacher import Teacher

pytest.importorskip("milvus_lite", reason="needs the extra index")

QUERIES = ["reset my card", "my card was stolen", "GOLD?"]


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def index(matcher, entries, tmp_path_factory):
    # One text twice: its entries tie, whatever stands between them.
    twice = [*entries, Entry("again", "my card was stolen")]
    with FaqIndex.build(matcher, twice, tmp_path_factory.mktemp("index") / "idx", candidates=3) as made:
        yield made


@pytest.fixture(scope="module")
def teacher(models):
    return Teacher.load(models["teacher"], device="cpu", cache=False)


@pytest.fixture
def keeping(loaded):
    """Makes an artefact that holds a teacher."""
    return lambda teacher: Matcher(loaded.student, loaded.spec, teacher, loaded.fingerprint)


def test_the_teacher_orders_all_entries_by_its_cosine(index, teacher, entries):
    texts = {entry.id: entry.question for entry in index.entries()}
    for query, found in zip(QUERIES, teacher_order(index.store, teacher, QUERIES), strict=True):
        assert sorted(found) == sorted(texts)
        cosine = teacher.similarity([query] * len(found), [texts[each] for each in found])
        assert np.all(np.diff(cosine) <= 1e-6)
        assert found.index("stolen") == found.index("again") + 1
    assert teacher_order(index.store, teacher, QUERIES)[1][:2] == ["again", "stolen"]


def test_each_distinct_text_is_encoded_once(index, teacher, monkeypatch):
    seen, encode = [], teacher.model.encode

    def spy(texts, **options):
        seen.extend(texts)
        return encode(texts, **options)

    monkeypatch.setattr(teacher.model, "encode", spy)
    teacher_order(index.store, teacher, QUERIES)
    assert sorted(seen) == sorted({*QUERIES, *(entry.question for entry in index.entries())})


def test_bm25_orders_by_words_alone(index):
    assert bm25_order(index.store, QUERIES)[2] == ["gold"]
    many = bm25_order(index.store, ["GOLD?", "zebra"] * 40)
    assert many == [["gold"], []] * 40


def test_both_are_measured_whatever_the_first_stage(index, teacher):
    judged = Judged([*QUERIES, "zebra"], [{"pin": 1}, {"again": 1}, {"gold": 1}, {}])
    found = evaluate(index, judged, first_stage="dense", teacher=teacher)
    again = evaluate(index, judged, first_stage="bm25", candidates=10, teacher=teacher)
    assert found.bm25 == again.bm25 == again.first_stage
    assert found.teacher == again.teacher
    first = [
        order.index(right)
        for order, right in zip(teacher_order(index.store, teacher, QUERIES), ("pin", "again", "gold"), strict=True)
    ]
    assert found.teacher.mrr10 == pytest.approx(np.mean([1 / (rank + 1) for rank in first]))
    assert found.teacher.success1 == pytest.approx(np.mean([rank == 0 for rank in first]))


def test_the_teacher_that_the_artefact_holds_is_taken_and_the_reason_printed(keeping, teacher, capsys):
    assert baseline_teacher(keeping(teacher), None) is teacher
    assert "the artefact holds it" in said(capsys)
    assert baseline_teacher(keeping(None), None) is None
    assert "name one with --teacher" in said(capsys)
    assert baseline_teacher(keeping(SimpleNamespace(kind="cross")), None) is None
    assert "cross-encoder" in said(capsys)


def test_a_named_teacher_comes_before_the_kept_one(keeping, teacher, models, tmp_path, monkeypatch):
    named = baseline_teacher(keeping(teacher), models["teacher"], device="cpu", cache_dir=tmp_path)
    assert named is not teacher
    assert named.revision == teacher.revision
    cross = SimpleNamespace(kind="cross")
    monkeypatch.setattr(Teacher, "load", classmethod(lambda *_, **__: cross))
    with pytest.raises(FlipkdError, match="no vectors to search by"):
        baseline_teacher(keeping(teacher), "some-cross-encoder")
