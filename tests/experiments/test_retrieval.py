"""A toy set ranked by a tiny artefact: every method's figures are those of what it says."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.collections_by_hand import write_set
from flipkd import FlipkdError, Matcher
from flipkd.experiments.cells import read_predictions
from flipkd.experiments.retrieval import Fusion, fit_fusion, rank_collection, reordered
from flipkd.experiments.retrieval_cells import (
    ByQuery,
    RetrievalCell,
    read_queries,
    read_retrieval,
    retrieval_table,
    write_retrieval,
)
from flipkd.experiments.retrieval_sets import RetrievalSet, read_collection
from flipkd.retrieval.metrics import mrr, ndcg, ranked
from flipkd.teacher.teacher import Teacher
from tiny import save_teacher

pytest.importorskip("bm25s")


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    toy = RetrievalSet("toy", "toys", "faq.jsonl.gz", ("question", "answer"))
    return read_collection(toy, write_set(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def matcher(artefact):
    return Matcher.from_pretrained(artefact, device="cpu")


@pytest.fixture(scope="module")
def teacher(models):
    return Teacher.load(models["teacher"], device="cpu", cache=False)


@pytest.fixture(scope="module")
def untuned(tmp_path_factory):
    return Teacher.load(save_teacher(tmp_path_factory.mktemp("untuned"), seed=1), device="cpu", cache=False)


def by_method(*arguments, **options):
    return {result.method: result for result in rank_collection(*arguments, **options)}


def log_odds(matcher, collection, queries):
    """Of every entry as text a and query as text b, by an answer of the decoder alone."""
    fields = matcher.spec.answer | {"sources": ["decoder"], "weights": [1.0]}
    alone = Matcher(matcher.student, matcher.spec.model_copy(update={"answer": fields}), None)
    return np.array([[alone.match(entry, query).logit for entry in collection.texts] for query in queries.texts])


@pytest.mark.parametrize("symmetric", [False, True])
def test_each_method_is_measured_on_what_it_says(collection, matcher, teacher, untuned, symmetric):
    matcher = Matcher(matcher.student, matcher.spec.model_copy(update={"symmetric": symmetric}), None)
    found = by_method(collection, matcher, teacher, untuned, top=4)
    assert list(found) == ["bm25", "untuned", "teacher", "encoder", "decoder", "encoder_decoder"]
    test = collection.queries["test"]
    by_teacher = ranked(teacher.vectors(test.texts) @ teacher.vectors(collection.texts).T)
    np.testing.assert_allclose(found["teacher"].ndcg10, ndcg(by_teacher, test.grades))
    by_untuned = ranked(untuned.vectors(test.texts) @ untuned.vectors(collection.texts).T)
    np.testing.assert_allclose(found["untuned"].ndcg10, ndcg(by_untuned, test.grades))
    by_encoder = ranked(matcher.encode(test.texts) @ matcher.encode(collection.texts).T)
    np.testing.assert_allclose(found["encoder"].ndcg10, ndcg(by_encoder, test.grades))
    odds = log_odds(matcher, collection, test)
    by_decoder = np.array([sorted(row[:4], key=lambda e: -odds[q, e]) for q, row in enumerate(by_encoder)])
    np.testing.assert_allclose(found["decoder"].ndcg10, ndcg(by_decoder, test.grades))
    np.testing.assert_allclose(found["decoder"].mrr10, mrr(by_decoder, test.grades))


def test_all_methods_are_asked_the_same_sample(collection, matcher, teacher, untuned):
    whole = collection.queries["test"]
    rows = [whole.ids.index(query) for query in whole.sample(2).ids]
    some = by_method(collection, matcher, teacher, untuned, queries=2, validation_queries=1)
    every = by_method(collection, matcher, teacher, untuned)
    for method in ("bm25", "untuned", "teacher", "encoder", "decoder"):
        np.testing.assert_allclose(some[method].ndcg10, every[method].ndcg10[rows])
    assert "1 validation queries" in some["encoder_decoder"].note


def test_judgements_of_test_change_no_ranking(collection, matcher, teacher, untuned):
    """What is fitted is fitted on validation: with test's judgements turned round, the shares stay."""
    test = collection.queries["test"]
    turned = replace(test, grades=(1 - np.minimum(test.grades, 1)).astype(np.int8))
    other = replace(collection, queries=collection.queries | {"test": turned})
    notes = [by_method(each, matcher, teacher, untuned)["encoder_decoder"].note for each in (collection, other)]
    assert notes[0] == notes[1]


def test_a_decoder_that_knows_is_followed_and_one_that_does_not_is_not():
    rng = np.random.default_rng(0)
    grades = (np.arange(20) == rng.integers(0, 20, (50, 1))).astype(np.int8)
    noise = rng.standard_normal((50, 20))
    ranking = ranked(noise)
    right = np.take_along_axis(grades, ranking, axis=1).astype(float)
    knows, guesses = right * 9 + rng.standard_normal((50, 20)), rng.standard_normal((50, 20))
    similarity = np.take_along_axis(noise, ranking, axis=1)
    fusion = fit_fusion(ranking, similarity, knows, grades)
    assert fusion.share > 0.5
    assert ndcg(reordered(ranking, fusion.value(similarity, knows)), grades).mean() > 0.95
    sure = right * 99 - np.arange(20) * 1e-3
    assert fit_fusion(ranking, sure, guesses, grades).share == 0


def test_both_signals_beat_either_where_each_knows_a_part():
    grades = np.tile(np.array([1, 0, 0], np.int8), (2, 1))
    ranking = np.tile(np.arange(3), (2, 1))
    similarity, odds = np.array([[1.0, 1.5, -3], [2.0, 0, 0]]), np.array([[2.0, 0, 0], [1.0, 1.5, -3]])
    fusion = fit_fusion(ranking, similarity, odds, grades)
    assert 0 < fusion.share < 1
    assert ndcg(reordered(ranking, fusion.value(similarity, odds)), grades).mean() == 1


def test_equal_values_keep_the_encoders_order_and_constant_ones_break_nothing():
    ranking = np.array([[2, 0, 1]])
    np.testing.assert_array_equal(reordered(ranking, np.array([[1.0, 1.0, 1.0]])), ranking)
    np.testing.assert_array_equal(reordered(ranking, np.array([[1.0, 2.0, 1.0]])), [[0, 2, 1]])
    constant = np.zeros((1, 3))
    assert fit_fusion(ranking, constant, constant, np.array([[1, 0, 0]], np.int8)) == Fusion(0.0, 1.0, 1.0)


def test_cells_come_back_as_they_were_written(tmp_path, collection, matcher, teacher, untuned):
    results = rank_collection(collection, matcher, teacher, untuned)
    cells = [
        RetrievalCell.of(result, retrieval_set="toy", seed=0, settings="0c0ffee", sample="f00", commit="abc")
        for result in results
    ]
    assert read_retrieval(tmp_path) == []
    queries, group = collection.queries["test"].ids, np.array([0, 1, 0])
    write_retrieval(tmp_path, cells[:2], results[:2], queries, group)
    write_retrieval(tmp_path, cells[2:], results[2:], queries, group)
    assert read_retrieval(tmp_path) == cells
    found = read_predictions(tmp_path, "toy", "encoder", 0)
    assert found["query"].tolist() == queries
    np.testing.assert_array_equal(found["success1"], results[3].success1)
    kept = read_queries(tmp_path, cells)["toy", "encoder", 0]
    np.testing.assert_array_equal(kept.ndcg10, results[3].ndcg10)
    np.testing.assert_array_equal(kept.group, group)
    assert cells[0].queries == 3
    assert cells[0].ndcg10 == pytest.approx(results[0].ndcg10.mean())


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "retrieval.jsonl").write_text('{"set": "toy"}\n')
    with pytest.raises(FlipkdError, match="line 1, is no cell"):
        read_retrieval(tmp_path)


def cell_of(method, seed, ndcg10):
    return RetrievalCell("toy", method, seed, 50, ndcg10, 0.5, 0.25, 2.0, "0c0ffee", "abc", {})


def test_the_table_gives_means_over_the_seeds():
    cells = [cell_of("bm25", 0, 0.3), cell_of("encoder", 0, 0.4), cell_of("encoder", 1, 0.5)]
    lines = retrieval_table(cells, {}).splitlines()
    assert lines[2] == "| `toy` | `bm25` | 0.300 | 0.500 | 0.250 | – | – | itself | 50 | 1 | 2.0 |"
    spreads = "0.450 ± 0.071 | 0.500 ± 0.000 | 0.250 ± 0.000"
    assert lines[3] == f"| `toy` | `encoder` | {spreads} | – | – | – | 50 | 2 | 2.0 |"
    assert len(lines) == 4


def test_differences_are_paired_by_query_over_the_seeds_that_both_have():
    """Ten points more for every query are ten points in every draw of them, however much queries differ."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.9, 50)
    cells = [cell_of("bm25", 0, hard.mean()), cell_of("encoder", 0, hard.mean() + 0.1), cell_of("encoder", 1, 0.0)]
    kept = {("toy", "bm25", 0): hard, ("toy", "encoder", 0): hard + 0.1, ("toy", "encoder", 1): 0 * hard}
    queries = {key: ByQuery(values, np.arange(50)) for key, values in kept.items()}
    assert "| **+10.0 [+10.0, +10.0]** |" in retrieval_table(cells, queries)
    queries["toy", "encoder", 0] = ByQuery(hard + rng.standard_normal(50), np.arange(50))
    assert "**" not in retrieval_table(cells, queries)


def test_queries_that_hang_together_are_drawn_together_and_few_groups_have_no_interval():
    gain = np.repeat(np.random.default_rng(0).normal(0.03, 0.1, 25), 4)
    cells = [cell_of("bm25", 0, 0.0), cell_of("encoder", 0, gain.mean())]

    def shown(group):
        kept = {("toy", "bm25", 0): ByQuery(0 * gain, group), ("toy", "encoder", 0): ByQuery(gain, group)}
        return retrieval_table(cells, kept).splitlines()[3]

    assert "**" in shown(np.arange(100))
    assert "**" not in shown(np.arange(100) // 4)
    assert "[" in shown(np.arange(100) // 4)
    assert "[" not in shown(np.arange(100) // 10)


@pytest.mark.parametrize("change", [{"ndcg10": 0.0}, {"method": "teacher"}])
def test_a_file_of_other_queries_or_of_another_run_is_refused(tmp_path, collection, matcher, teacher, untuned, change):
    result = rank_collection(collection, matcher, teacher, untuned)[0]
    cell = RetrievalCell.of(result, retrieval_set="toy", seed=0, settings="0c0ffee", sample="f00", commit="abc")
    queries, group = collection.queries["test"].ids, np.arange(3)
    write_retrieval(tmp_path, [cell], [result], queries, group)
    other = replace(cell, **change)
    if "method" in change:
        write_retrieval(tmp_path, [other], [result], queries[::-1], group)
    with pytest.raises(FlipkdError, match="Delete the set's lines"):
        read_queries(tmp_path, [cell, other])


def test_cells_from_before_queries_were_kept_have_no_difference(tmp_path):
    assert read_queries(tmp_path, [cell_of("bm25", 0, 0.3)]) == {}
