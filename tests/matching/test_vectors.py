import numpy as np
import pytest

from flipkd.matching.vectors import VectorCache


class Encoder:
    """Counts what it is asked for; a text's vector is its first id and its length."""

    def __init__(self):
        self.asked = []

    def __call__(self, ids):
        self.asked.append(list(ids))
        return np.array([[text[0], len(text)] for text in ids], dtype=np.float32).reshape(-1, 2)


TEXTS = [(1,), (2, 2), (70_000,), (1, 1, 1)]


def expected(ids):
    return Encoder()(ids)


def test_a_text_that_comes_again_is_not_computed_again():
    cache, encoder = VectorCache(), Encoder()
    np.testing.assert_array_equal(cache.read(TEXTS[:2], encoder), expected(TEXTS[:2]))
    order = [TEXTS[2], TEXTS[0], TEXTS[3], TEXTS[1]]
    np.testing.assert_array_equal(cache.read(order, encoder), expected(order))
    assert encoder.asked == [TEXTS[:2], [TEXTS[2], TEXTS[3]]]
    assert cache.read([], encoder).shape == (0, 2)


def test_the_texts_asked_for_last_are_kept():
    cache, encoder = VectorCache(limit=2), Encoder()
    cache.read(TEXTS[:2], encoder)
    cache.read([TEXTS[0]], encoder)
    cache.read([TEXTS[2]], encoder)
    cache.read([TEXTS[0]], encoder)
    assert encoder.asked[-1] == []
    cache.read([TEXTS[1]], encoder)
    assert encoder.asked[-1] == [TEXTS[1]]


@pytest.mark.parametrize("limit", [1, 3])
def test_it_never_keeps_more_than_its_limit(limit):
    cache, encoder = VectorCache(limit), Encoder()
    for start in range(20):
        ids = [(number, 5) for number in range(start, start + 4)]
        np.testing.assert_array_equal(cache.read(ids, encoder), expected(ids))
        assert len(cache) == limit
