import numpy as np

from flipkd.data.table import PairTable
from flipkd.evaluation.overlap import overlap


def table(*rows):
    a, b = zip(*rows, strict=True)
    return PairTable(list(a), list(b), None, "made", list(range(len(a))), {})


def test_words_by_hand():
    found = overlap(table(("Reset my PIN!", "my pin is lost"), ("a b", "a b"), ("a", "b"), ("?", "!")))
    np.testing.assert_allclose(found, [2 / 5, 1, 0, 0])


def test_chinese_by_characters_and_their_pairs():
    # {花, 呗, 花呗} against {花, 呗, 还, 花呗, 呗还}.
    np.testing.assert_allclose(overlap(table(("花呗？", "花呗还"))), [3 / 5])
