"""The pairs of a retrieval set that are learnt from."""

import numpy as np

from flipkd.data.table import PairTable
from flipkd.experiments.retrieval_sets import Collection, Queries

NEGATIVES = 2
"""Pairs that do not match, for one that does."""


def training_pairs(collection: Collection, split: str, *, limit: int, seed: int = 0) -> PairTable:
    """Pairs of a set: of each query that is drawn, one relevant entry and others at random that are not.

    The entry is text a and the query text b, with which an entry's part of the prompt is the same whatever is asked:
    read them as directed, as `rank_collection` does. The relevant entry is drawn from those of the query's best grade.
    The others are drawn from all entries and not from those that BM25 ranks high: among these are many that nobody
    judged, though they are right, and a teacher that learnt from them ranked worse than before (docs/lab-log.md).

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
    rows: list[tuple[int, int, int]] = []
    for query in range(len(queries)):
        right, wrong = _draw(collection, queries, query, rng)
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


def _draw(collection: Collection, queries: Queries, query: int, rng: np.random.Generator) -> tuple[int, list[int]]:
    """A relevant entry, and others of different texts, none that of a relevant one; fewer where there are no more."""
    grades = queries.grades[query]
    right = int(rng.choice(np.flatnonzero(grades == grades.max())))
    taken = {collection.texts[entry] for entry in np.flatnonzero(grades > 0)}
    wrong: list[int] = []
    for entry in rng.permutation(len(collection.texts)).tolist():
        if len(wrong) == NEGATIVES:
            break
        if collection.texts[entry] not in taken:
            taken.add(collection.texts[entry])
            wrong.append(entry)
    return right, wrong
