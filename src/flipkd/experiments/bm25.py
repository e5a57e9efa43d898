"""BM25, the floor of retrieval, and the pairs that are learnt from: hard negatives are what BM25 ranks high."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.experiments.retrieval_sets import Collection, Queries
from flipkd.retrieval.metrics import ranked

NEGATIVES = 2
"""Pairs that do not match, for one that does."""
HARD = 30
"""How many of BM25's first ranks they are drawn from."""

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


def training_pairs(collection: Collection, split: str, *, limit: int, seed: int = 0) -> PairTable:
    """Pairs of a set: of each query that is drawn, one relevant entry and hard ones that are not.

    The entry is text a and the query text b, with which an entry's part of the prompt is the same whatever is asked:
    read them as directed, as `rank_collection` does. The relevant entry is drawn from those of the query's best grade.
    The others are drawn from BM25's first ranks; that nobody judged them relevant does not always make them irrelevant,
    and the set's unlabelled right entries are learnt as wrong. Their other judgements are not looked at: where test
    asks for entries that training does not (StackFAQ), those come up in training as wrong ones, and never as right.

    Texts are as they are; a student reads `max_text_tokens` (128) of each, which cuts most of NFCorpus.

    Args:
        collection: The set.
        split: Whose queries.
        limit: At most this many pairs.
        seed: Of all that is drawn.

    Returns:
        The pairs, with ``query`` and ``entry`` (ids) beside the texts.
    """
    rng = np.random.default_rng(seed)
    whole = collection.queries[split]
    queries = whole.select(np.sort(rng.permutation(len(whole))[: limit // (1 + NEGATIVES)]))
    order = rng.permutation(len(collection.texts))
    # Shuffled, so that ties are not the first entries of the file.
    value = bm25([collection.texts[entry] for entry in order], queries.texts)
    ranking = order[ranked(value, HARD)]
    rows: list[tuple[int, int, int]] = []
    for query in range(len(queries)):
        right, wrong = _draw(collection, queries, query, ranking[query], rng)
        rows += [(query, right, 1), *((query, entry, 0) for entry in wrong)]
    return PairTable(
        text_a=[collection.texts[entry] for _, entry, _ in rows],
        text_b=[queries.texts[query] for query, _, _ in rows],
        label=np.array([label for *_, label in rows], dtype=np.int64),
        source=f"{collection.name}, {split} queries",
        line=list(range(1, len(rows) + 1)),
        extra={
            "query": [queries.ids[query] for query, _, _ in rows],
            "entry": [collection.ids[entry] for _, entry, _ in rows],
        },
    )


def _draw(
    collection: Collection, queries: Queries, query: int, hard: NDArray[np.int64], rng: np.random.Generator
) -> tuple[int, list[int]]:
    """A relevant entry, and others of which none has the text of a relevant one; fewer where BM25 finds no more."""
    grades = queries.grades[query]
    right = int(rng.choice(np.flatnonzero(grades == grades.max())))
    relevant = {collection.texts[entry] for entry in np.flatnonzero(grades > 0)}
    others = {collection.texts[entry]: entry for entry in hard.tolist() if collection.texts[entry] not in relevant}
    wrong: list[int] = rng.permutation(list(others.values()))[:NEGATIVES].tolist() if others else []
    return right, wrong
