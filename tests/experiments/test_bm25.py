"""BM25, and the pairs made with it."""

import numpy as np
import pytest

from experiments.collections_by_hand import write_set
from flipkd.experiments.bm25 import NEGATIVES, bm25, training_pairs
from flipkd.experiments.retrieval_sets import Collection, Queries, RetrievalSet, read_collection
from flipkd.retrieval.metrics import ranked

pytest.importorskip("bm25s")


@pytest.fixture
def collection(tmp_path):
    return read_collection(RetrievalSet("toy", "toys", "faq.jsonl.gz", ("question",)), write_set(tmp_path))


def test_bm25_is_the_formula():
    entries = ["a card A card", "a pin", "lost and found and lost"]
    lengths = np.array([4, 2, 5])
    counts = {"card": np.array([2, 0, 0]), "a": np.array([2, 1, 0])}
    expected = np.zeros(3)
    for count in counts.values():
        found_in = (count > 0).sum()
        idf = np.log(1 + (3 - found_in + 0.5) / (found_in + 0.5))
        expected += idf * count / (count + 1.5 * (0.25 + 0.75 * lengths / lengths.mean()))
    np.testing.assert_allclose(bm25(entries, ["A card?"])[0], expected, rtol=1e-5)


def test_a_query_without_a_known_word_ties_all_entries():
    found = bm25(["one card", "two cards"], ["?!", "nowhere"])
    np.testing.assert_array_equal(found, np.zeros((2, 2)))
    np.testing.assert_array_equal(ranked(found)[0], [0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_every_query_has_its_best_entry_and_wrong_ones(collection, seed):
    pairs = training_pairs(collection, "train", limit=99, seed=seed)
    queries, grade = collection.queries["train"], {}
    for query, grades in zip(queries.ids, queries.grades, strict=True):
        grade |= {(query, entry): value for entry, value in zip(collection.ids, grades.tolist(), strict=True)}
    named = list(zip(pairs.extra["query"], pairs.extra["entry"], strict=True))
    assert [grade[pair] > 0 for pair in named] == (pairs.require_labels() == 1).tolist()
    assert [pair for pair, label in zip(named, pairs.require_labels(), strict=True) if label] == [
        ("t0", "e0"), ("t1", "e1"),
    ]  # fmt: skip
    assert len(set(named)) == len(named) == 2 * (1 + NEGATIVES)


def test_the_entry_is_text_a_and_the_query_text_b(collection):
    pairs = training_pairs(collection, "validation", limit=99)
    assert set(pairs.text_a) <= set(collection.texts)
    assert set(pairs.text_b) == set(collection.queries["validation"].texts)


def test_the_same_seed_makes_the_same_pairs_within_the_limit(collection):
    first, again, other = (training_pairs(collection, "test", limit=8, seed=seed) for seed in (1, 1, 2))
    assert first.digest() == again.digest() != other.digest()
    assert len(first) == 2 * (1 + NEGATIVES)


def test_wrong_entries_are_those_that_share_words(collection):
    words = "cost of a card"
    entries = [words, *(f"card number {number}" for number in range(40)), *(f"pin {number}" for number in range(400))]
    grades = np.zeros((1, len(entries)), dtype=np.int8)
    grades[0, 0] = 1
    large = Collection("large", list(map(str, entries)), entries, {"train": Queries(["q"], [words], grades)})
    for seed in range(5):
        pairs = training_pairs(large, "train", limit=3, seed=seed)
        assert all(text.startswith("card") for text in pairs.text_a[1:])


def test_the_text_of_a_relevant_entry_is_never_wrong():
    entries = ["lost card", "lost card", "lost pin"]
    one = Collection(
        "twice", ["0", "1", "2"], entries, {"train": Queries(["q"], ["card"], np.array([[1, 0, 0]], np.int8))}
    )
    pairs = training_pairs(one, "train", limit=3)
    assert list(zip(pairs.text_a, pairs.require_labels().tolist(), strict=True)) == [("lost card", 1), ("lost pin", 0)]
