"""BM25."""

import numpy as np
import pytest

from flipkd.experiments.bm25 import bm25
from flipkd.retrieval.metrics import ranked

pytest.importorskip("bm25s")


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
