"""An index of a few entries in a real local engine: what it finds, what it keeps, what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flipkd import FaqIndex, FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.engine import Place
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.store import Store

pytest.importorskip("milvus_lite", reason="needs the extra index")


@pytest.fixture(scope="module")
def index(matcher, entries, tmp_path_factory):
    with FaqIndex.build(matcher, entries, tmp_path_factory.mktemp("index") / "idx", candidates=3) as made:
        yield made


@pytest.fixture
def fresh(matcher, entries, tmp_path):
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as made:
        yield made


@pytest.fixture
def encoded(monkeypatch):
    """The texts that are encoded."""
    seen, encode = [], Matcher.encode

    def spy(self, texts, **options):
        seen.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(Matcher, "encode", spy)
    return seen


@pytest.mark.parametrize("stage", ["dense", "bm25", "hybrid"])
def test_every_first_stage_puts_an_entrys_own_question_first(index, entries, stage):
    for entry in entries:
        assert index.search(entry.question, first_stage=stage).candidates[0] == entry.id


def test_bm25_finds_by_words_alone(index):
    assert index.search("GOLD?", first_stage="bm25").candidates == ("gold",)
    nothing = index.search("zebra", first_stage="bm25")
    assert nothing.hits == ()
    assert nothing.answer is None


def test_dense_gives_the_entries_of_the_highest_similarity(index, matcher, entries):
    similarity = (matcher.encode(["my pin card"]) @ matcher.encode([entry.question for entry in entries]).T)[0]
    best = [entries[at].id for at in np.argsort(-similarity)[:3]]
    assert list(index.search("my pin card", first_stage="dense").candidates) == best


def test_hybrid_orders_by_the_reciprocal_ranks_of_both_stages(index, entries):
    otherwise = False
    for query in ("pay my fee", "reset my card", "gold account", "stolen pin"):
        dense, bm25, hybrid = (
            index.search(query, first_stage=stage, candidates=5).candidates for stage in ("dense", "bm25", "hybrid")
        )
        fused = {
            entry.id: sum(1 / (61 + found.index(entry.id)) for found in (dense, bm25) if entry.id in found)
            for entry in entries
        }
        best = sorted(fused.values(), reverse=True)
        # Where two are level, either may come first.
        assert [fused[name] for name in hybrid] == pytest.approx(best)
        otherwise |= [fused[name] for name in dense] != pytest.approx(best)
    assert otherwise


@pytest.mark.parametrize("stage", ["dense", "bm25"])
def test_a_hits_figures_are_those_of_its_pair(index, matcher, stage):
    found = index.search("reset my card", first_stage=stage)
    assert [hit.probability for hit in found.hits] == sorted((hit.probability for hit in found.hits), reverse=True)
    for hit in found.hits:
        alone = matcher.match("reset my card", hit.entry.question)
        assert hit.similarity == pytest.approx(alone.similarity, abs=1e-5)
        assert hit.logit == pytest.approx(alone.logit, abs=1e-4)
        assert hit.probability == pytest.approx(alone.probability, abs=1e-5)
        assert hit.match == alone.match


def test_the_entry_comes_first_in_its_pairs_where_asked(matcher, entries, tmp_path):
    with FaqIndex.build(matcher, entries, tmp_path / "idx", entry_first=True) as index:
        hit = index.search("reset my card").hits[0]
    assert hit.logit == pytest.approx(matcher.match(hit.entry.question, "reset my card").logit, abs=1e-4)
    assert abs(hit.logit - matcher.match("reset my card", hit.entry.question).logit) > 1e-3


def test_many_queries_are_answered_as_one_by_one(index):
    queries = ["reset my pin", "zebra", "stolen card", "reset my pin"]
    for query, together in zip(queries, index.search_many(queries, first_stage="bm25"), strict=True):
        alone = index.search(query, first_stage="bm25")
        assert together.candidates == alone.candidates
        assert [hit.entry for hit in together.hits] == [hit.entry for hit in alone.hits]
        for one, other in zip(together.hits, alone.hits, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_no_answer_below_the_threshold(answering, entries, tmp_path):
    query = entries[0].question
    with FaqIndex.build(answering("encoder", threshold=0.8), entries, tmp_path / "idx") as index:
        assert index.search(query).answer.entry == entries[0]
    with FaqIndex.open(tmp_path / "idx", answering("encoder", threshold=0.999)) as index:
        found = index.search(query)
    assert found.answer is None
    assert found.hits[0].entry == entries[0]


def test_an_answer_of_the_encoder_alone_never_asks_the_decoder(answering, entries, tmp_path, monkeypatch):
    monkeypatch.setattr("flipkd.student.inference.Reader.log_odds", lambda *_: pytest.fail("asked"))
    with FaqIndex.build(answering("encoder"), entries, tmp_path / "idx") as index:
        assert np.isnan(index.search("reset my card").hits[0].logit)


def test_the_vectors_of_entries_are_read_and_not_computed(index, encoded):
    index.search("reset my card")
    assert encoded == ["reset my card"]


def test_chinese_entries_are_found_by_their_words(matcher, tmp_path, capsys):
    faq = [Entry("lost", "信用卡丢失怎么办"), Entry("loan", "如何申请住房贷款"), Entry("rate", "今天的汇率是多少")]
    with FaqIndex.build(matcher, faq, tmp_path / "idx") as index:
        assert index.search("信用卡不见了", first_stage="bm25").candidates == ("lost",)
        assert index.search("贷款", first_stage="bm25").candidates == ("loan",)
    assert "jieba" in capsys.readouterr().err
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert index.search("汇率", first_stage="bm25").candidates == ("rate",)


def test_entries_come_back_whole_after_reopening(matcher, entries, tmp_path):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == len(entries)
        assert sorted(index.entries(), key=lambda entry: entry.id) == sorted(entries, key=lambda entry: entry.id)
        assert index.store.settings.first_stage == "hybrid"


def test_only_changed_texts_are_encoded_again(fresh, entries, encoded):
    changed = replace(entries[1], question="where is my stolen card")
    reworded = replace(entries[2], answer="At the desk.", extra={"topic": "accounts"})
    change = fresh.add([entries[0], changed, reworded, Entry("new", "top up by card")])
    assert (change.added, change.updated, change.rewritten, change.unchanged) == (1, 1, 1, 1)
    assert encoded == ["where is my stolen card", "top up by card"]
    kept = {entry.id: entry for entry in fresh.entries()}
    assert len(kept) == len(entries) + 1
    assert kept["stolen"] == changed
    assert kept["open"] == reworded
    assert fresh.search("where", first_stage="bm25").candidates == ("stolen",)
    assert "stolen" not in fresh.search("was", first_stage="bm25").candidates


def test_a_removed_entry_is_not_found_again(fresh):
    fresh.remove(["gold"])
    assert fresh.search("gold", first_stage="bm25").candidates == ()
    assert "gold" not in fresh.search("pay with gold", first_stage="dense").candidates
    assert len(fresh) == 4


def test_unknown_ids_are_refused_and_nothing_is_done(fresh, entries):
    with pytest.raises(FlipkdError, match="no entry 'gone'"):
        fresh.remove(["pin", "gone"])
    with pytest.raises(FlipkdError, match="no entry 'gone'"):
        fresh.update([replace(entries[0], question="other"), Entry("gone", "text")])
    assert sorted(entry.question for entry in fresh.entries()) == sorted(entry.question for entry in entries)
    assert fresh.update([replace(entries[0], question="other")]).updated == 1


def test_another_models_vectors_are_refused(matcher, index, answering):
    other = Matcher(matcher.student, matcher.spec, None, "another")
    with pytest.raises(FlipkdError, match="vectors of another model"):
        FaqIndex(index.store, other)
    with pytest.raises(FlipkdError, match="saved artefact"):
        FaqIndex(index.store, Matcher(matcher.student, matcher.spec, None))
    assert len(FaqIndex(index.store, answering("encoder"))) == 5


def test_an_index_that_is_open_is_refused_to_others(index, matcher):
    with pytest.raises(FlipkdError, match="open elsewhere"):
        FaqIndex.open(index.store.place, matcher)


def test_a_failed_build_leaves_what_was_there(matcher, entries, tmp_path):
    too_long = [*entries, Entry("long", "x " * 40_000)]
    with pytest.raises(FlipkdError, match="'long': its text takes 80000 bytes"):
        FaqIndex.build(matcher, too_long, tmp_path / "idx")
    assert list(tmp_path.iterdir()) == []
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    with pytest.raises(FlipkdError, match="already there"):
        FaqIndex.build(matcher, entries, tmp_path / "idx")
    with pytest.raises(FlipkdError, match="'long'"):
        FaqIndex.build(matcher, too_long, tmp_path / "idx", overwrite=True)
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == 5
    FaqIndex.build(matcher, entries[:2], tmp_path / "idx", overwrite=True).close()
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["idx"]


def test_a_folder_that_is_no_index_is_never_overwritten(matcher, entries, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FlipkdError, match="is no index"):
        FaqIndex.build(matcher, entries, tmp_path, overwrite=True)
    with pytest.raises(FlipkdError, match="is no index"):
        FaqIndex.open(tmp_path, matcher)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_query_is_refused(index):
    with pytest.raises(FlipkdError, match="Query 2 is empty"):
        index.search_many(["pin", " "])


STRANGE = [
    "what's",
    "a\\b",
    "tail\\",
    "new\nline",
    'say "x"',
    "'] or id != \"\" or id in ['b",
    "你好",
]


def test_any_id_is_written_found_updated_and_removed(matcher, tmp_path):
    entries = [Entry(name, f"question {number}") for number, name in enumerate(STRANGE)]
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as index:
        assert index.store.known(STRANGE).keys() == set(STRANGE)
        assert index.update([Entry(STRANGE[0], "another question"), *entries[1:]]).updated == 1
        index.remove(STRANGE[:-1])
        assert [entry.id for entry in index.entries()] == STRANGE[-1:]


def test_an_index_that_is_open_is_not_replaced(matcher, entries, tmp_path):
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as index:
        with pytest.raises(FlipkdError, match="is open elsewhere"):
            FaqIndex.build(matcher, entries[:2], tmp_path / "idx", overwrite=True)
        index.add([Entry("late", "a late one")])
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == 6
    assert [folder.name for folder in tmp_path.iterdir()] == ["idx"]


def test_an_index_opened_while_another_takes_its_place_is_not_replaced_either(matcher, entries, tmp_path, monkeypatch):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    opened = []
    add = FaqIndex.add

    def add_while_another_opens(self, some):
        opened.append(Store.open(Place(str(tmp_path / "idx"))))
        return add(self, some)

    monkeypatch.setattr(FaqIndex, "add", add_while_another_opens)
    with pytest.raises(FlipkdError, match="is open elsewhere"):
        FaqIndex.build(matcher, entries[:2], tmp_path / "idx", overwrite=True)
    opened[0].close()
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == 5


def test_the_old_index_comes_back_where_the_new_one_cannot_take_its_place(matcher, entries, tmp_path, monkeypatch):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    rename = Path.rename

    def refuse(self, target):
        if "partial" in self.name:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        FaqIndex.build(matcher, entries[:2], tmp_path / "idx", overwrite=True)
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == 5
    assert [folder.name for folder in tmp_path.iterdir()] == ["idx"]


def test_a_folder_with_other_collections_is_not_overwritten(matcher, entries, tmp_path):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    (tmp_path / "idx" / "collections" / "other").mkdir()
    with pytest.raises(FlipkdError, match=r"holds other collections, too \(other\)"):
        FaqIndex.build(matcher, entries, tmp_path / "idx", overwrite=True)


@pytest.mark.parametrize("numbers", [{"top": 0}, {"top": -1}, {"candidates": 0}])
def test_a_number_below_1_is_refused(index, matcher, entries, tmp_path, numbers):
    with pytest.raises(FlipkdError, match=f"{next(iter(numbers))} is .*; it must be at least 1"):
        index.search("pin", **numbers)
    if "candidates" in numbers:
        with pytest.raises(FlipkdError, match="candidates is 0"):
            FaqIndex.build(matcher, entries, tmp_path / "idx", **numbers)
