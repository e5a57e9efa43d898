"""One query against many candidates: the answers are those of `match_many`, whatever is kept."""

import numpy as np
import pytest

from flipkd import FlipkdError, Matcher
from flipkd.evaluation.answer import Answer
from tiny import texts

ENTRIES = [" ".join(texts(40, seed=8)[i : i + 4]) for i in range(0, 40, 4)]
QUERY = "open a new account"


def answer_by(*sources):
    weights = {"decoder": 0.5, "encoder": 4.0}
    return Answer(sources, tuple(weights[source] for source in sources), -2.0, 0.5, "by hand").as_dict()


@pytest.fixture(scope="module")
def loaded(artefact):
    return Matcher.from_pretrained(artefact, device="cpu")


def made(loaded, sources=("decoder", "encoder"), **fields):
    fields = {"answer": answer_by(*sources), "cascade": None, "symmetric": False, "directed": False} | fields
    return Matcher(loaded.student, loaded.spec.model_copy(update=fields), None)


def check(ranked, expected):
    assert sorted(entry.index for entry in ranked) == list(range(len(ENTRIES)))
    assert [entry.probability for entry in ranked] == sorted((e.probability for e in ranked), reverse=True)
    for entry in ranked:
        result = expected[entry.index]
        assert entry.probability == pytest.approx(result.probability, abs=1e-4)
        assert entry.similarity == pytest.approx(result.similarity, abs=1e-4, nan_ok=True)
        assert entry.logit == pytest.approx(result.logit, abs=1e-4, nan_ok=True)
        assert entry.match == result.match


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("sources", [("decoder",), ("decoder", "encoder"), ("encoder",)])
def test_texts_are_ranked_as_match_many_answers_them(loaded, sources, symmetric):
    matcher = made(loaded, sources, symmetric=symmetric)
    check(matcher.rank(QUERY, ENTRIES), matcher.match_many([(QUERY, entry) for entry in ENTRIES]))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("limit_gb", [1.0, 4e-5, 0.0])
def test_long_entries_stand_first_and_are_answered_as_match_many_does(loaded, symmetric, limit_gb):
    matcher = made(loaded, symmetric=symmetric)
    entries = matcher.entries(ENTRIES, query_tokens=2, limit_gb=limit_gb)
    assert entries.entry_first
    check(matcher.rank(QUERY, entries), matcher.match_many([(entry, QUERY) for entry in ENTRIES]))


def test_part_of_the_entries_fits_a_small_limit(loaded):
    entries = made(loaded).entries(ENTRIES, query_tokens=2, limit_gb=4e-5)
    assert 0 < entries.prefixes.kept < len(ENTRIES)


@pytest.mark.parametrize(
    ("fields", "query_tokens", "said"),
    [
        ({"directed": True}, 2, "directed"),
        ({}, 1000, "no longer than queries"),
        ({"sources": ("encoder",)}, 2, "never"),
    ],
)
def test_where_keys_do_not_pay_none_are_kept_and_the_reason_is_said(loaded, capsys, fields, query_tokens, said):
    matcher = made(loaded, **fields)
    entries = matcher.entries(ENTRIES, query_tokens=query_tokens)
    assert entries.prefixes is None
    assert said in " ".join(capsys.readouterr().err.split())
    check(matcher.rank(QUERY, entries), matcher.match_many([(QUERY, entry) for entry in ENTRIES]))


def test_the_best_few(loaded):
    matcher = made(loaded)
    assert matcher.rank(QUERY, ENTRIES, top=3) == matcher.rank(QUERY, ENTRIES)[:3]


def test_no_candidate_is_no_answer_and_no_entry_an_error(loaded):
    assert made(loaded).rank(QUERY, []) == []
    with pytest.raises(FlipkdError, match="at least one"):
        made(loaded).entries([])


def test_the_adapter_is_merged_and_its_vectors_are_still_read(loaded):
    assert all(layer.merged for layer in loaded.student._reader.layers)
    assert np.linalg.norm(loaded.encode([QUERY])) == pytest.approx(1.0)


def test_without_the_encoder_in_the_answer_no_vector_is_computed(loaded):
    matcher = made(loaded, ("decoder",))
    assert np.isnan(matcher.match(QUERY, ENTRIES[0]).similarity)
    assert matcher.entries(ENTRIES).vectors is None


def test_fewer_than_no_candidates_are_refused(loaded):
    with pytest.raises(FlipkdError, match="top is -1"):
        loaded.rank(QUERY, ENTRIES, top=-1)
    assert loaded.rank(QUERY, ENTRIES, top=0) == []
