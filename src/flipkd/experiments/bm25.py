"""BM25, the floor of retrieval."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flipkd.errors import FlipkdError

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-case words; nothing is stemmed, no word stopped."""
    return _WORD.findall(text.lower())


def bm25(entries: Sequence[str], queries: Sequence[str]) -> NDArray[np.float32]:
    """BM25 of each query and entry: Lucene's variant with k1 = 1.5 and b = 0.75, the defaults of bm25s.

    Args:
        entries: n texts.
        queries: q texts.

    Returns:
        (q, n) float32; 0 where they share no word.

    Raises:
        FlipkdError: If bm25s is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise FlipkdError("BM25 needs bm25s: pip install 'flipkd[reproduce]'.") from error

    index = bm25s.BM25()
    index.index([words(entry) for entry in entries], show_progress=False)
    found = np.zeros((len(queries), len(entries)), dtype=np.float32)
    for row, query in enumerate(queries):
        asked = words(query)
        if asked:  # bm25s looks at the first word
            found[row] = index.get_scores(asked)
    return found
