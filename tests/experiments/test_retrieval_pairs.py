"""The pairs that retrieval is learnt from."""

import numpy as np
import pytest

from experiments.collections_by_hand import write_set
from flipkd.experiments.retrieval import SHARES, TOP
from flipkd.experiments.retrieval_pairs import NEGATIVES, training_pairs
from flipkd.experiments.retrieval_sets import Collection, Queries, RetrievalSet, read_collection


@pytest.fixture
def collection(tmp_path):
    return read_collection(RetrievalSet("toy", "toys", "faq.jsonl.gz", ("question",)), write_set(tmp_path))


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


def test_the_pairs_are_those_of_the_cells_that_are_there(collection):
    """No digest names how they are drawn, nor what the decoder is asked: another way would pass for today's."""
    assert training_pairs(collection, "train", limit=99).extra["entry"] == ["e0", "e3", "e2", "e1", "e4", "e5"]
    assert (TOP, len(SHARES)) == (20, 21)


def test_wrong_entries_are_drawn_from_all_whether_or_not_they_share_words():
    entries = ["cost of a card", *(f"card number {number}" for number in range(40)), *map(str, range(400))]
    grades = np.zeros((1, len(entries)), dtype=np.int8)
    grades[0, 0] = 1
    large = Collection("large", list(map(str, entries)), entries, {"train": Queries(["q"], ["card"], grades)})
    drawn = [text for seed in range(200) for text in training_pairs(large, "train", limit=3, seed=seed).text_a[1:]]
    assert len(drawn) == 200 * NEGATIVES
    assert np.mean([text.startswith("card") for text in drawn]) == pytest.approx(40 / 440, abs=0.05)


def test_the_text_of_a_relevant_entry_is_never_wrong():
    entries = ["lost card", "lost card", "lost pin"]
    one = Collection(
        "twice", ["0", "1", "2"], entries, {"train": Queries(["q"], ["card"], np.array([[1, 0, 0]], np.int8))}
    )
    pairs = training_pairs(one, "train", limit=3)
    assert list(zip(pairs.text_a, pairs.require_labels().tolist(), strict=True)) == [("lost card", 1), ("lost pin", 0)]
