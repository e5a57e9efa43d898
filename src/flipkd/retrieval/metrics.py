"""How well entries are ranked for queries: NDCG, MRR and success.

Gains are linear, as in trec_eval: an entry of grade 2 counts twice one of grade 1 (not 3 times, as with 2^grade - 1).
"""

import numpy as np
from numpy.typing import NDArray

DEPTH = 10
"""Ranks that are looked at."""


def ranked(value: NDArray[np.floating], most: int | None = None) -> NDArray[np.int64]:
    """Entries by falling value, those of one value in their own order.

    Args:
        value: (queries, entries).
        most: How many a query; `None` for all.

    Returns:
        (queries, most) int64, entries by their number.
    """
    return np.argsort(-value, axis=1, kind="stable")[:, :most]


def ndcg(ranking: NDArray[np.int64], grades: NDArray[np.int8], depth: int = DEPTH) -> NDArray[np.float64]:
    """Discounted gain of the first ranks, as a share of the best there can be.

    Args:
        ranking: (queries, m) entries, the best first; ranks from m on gain nothing.
        grades: (queries, entries), each row with a relevant entry.
        depth: Ranks that count.

    Returns:
        (queries,) float64 from 0 to 1.
    """
    best = -np.sort(-grades.astype(np.float64), axis=1)
    return _gain(np.take_along_axis(grades, ranking, axis=1), depth) / _gain(best, depth)


def _gain(grades: NDArray[np.number], depth: int) -> NDArray[np.float64]:
    seen = grades[:, :depth].astype(np.float64)
    return seen @ (1 / np.log2(np.arange(seen.shape[1]) + 2))


def mrr(ranking: NDArray[np.int64], grades: NDArray[np.int8], depth: int = DEPTH) -> NDArray[np.float64]:
    """One over the rank of the first relevant entry, of whatever grade; 0 if it is not among the first ranks.

    Arguments and result as for `ndcg`.
    """
    hit = np.take_along_axis(grades, ranking[:, :depth], axis=1) > 0
    return np.asarray(hit.any(axis=1) / (hit.argmax(axis=1) + 1.0))


def success(ranking: NDArray[np.int64], grades: NDArray[np.int8], depth: int = 1) -> NDArray[np.float64]:
    """1 where a relevant entry, of whatever grade, is among the first ranks, else 0.

    Arguments and result as for `ndcg`.
    """
    hit = np.take_along_axis(grades, ranking[:, :depth], axis=1) > 0
    return np.asarray(hit.any(axis=1), dtype=np.float64)
