"""One retrieval set by BM25, the teacher before and after its training, the student's encoder, and its decoder."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce
from flipkd.experiments.bm25 import bm25
from flipkd.experiments.retrieval_sets import Collection, Queries
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.metrics import mrr, ndcg, ranked, success
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.teacher.teacher import Teacher

Floats = NDArray[np.float64]

TOP = 20
"""Entries that the decoder is asked for, a query."""
SHARES = np.linspace(0, 1, 21)
"""Shares of the decoder that `fit_fusion` tries."""


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """What one method found.

    Attributes:
        method: ``bm25``, ``untuned``, ``teacher``, ``encoder``, ``decoder`` or ``encoder_decoder``.
        ndcg10: (queries,) float64, in the order of the queries, the same for all methods.
        mrr10: (queries,) float64.
        success1: (queries,) float64.
        seconds: Wall time of answering all queries, entries prepared and encoded included; training and fitting are
            not in it.
        note: What was fitted.
    """

    method: str
    ndcg10: Floats
    mrr10: Floats
    success1: Floats
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Fusion:
    """Similarity and log-odds of a query's entries as one number, each in units of its own spread.

    Attributes:
        share: Of the decoder, from 0 (the encoder's order) to 1 (the decoder's).
        similarity: Spread of the similarities of a query's entries.
        log_odds: Spread of their log-odds.
    """

    share: float
    similarity: float
    log_odds: float

    def value(self, similarity: Floats, log_odds: Floats) -> Floats:
        """(queries, entries) float64, from both of that shape."""
        return (1 - self.share) * similarity / self.similarity + self.share * log_odds / self.log_odds


def fit_fusion(ranking: NDArray[np.int64], similarity: Floats, log_odds: Floats, grades: NDArray[np.int8]) -> Fusion:
    """The share of the decoder with the best NDCG@10; of equal ones the smallest.

    It is fitted by the order within each query and not by a logistic regression over all of them, since only that order
    is measured, and since the level of both signals moves from query to query. Our reading: the paper ranks nothing.

    Args:
        ranking: (queries, m) entries, in the encoder's order.
        similarity: (queries, m) of those entries.
        log_odds: (queries, m) of those entries.
        grades: (queries, entries).
    """
    spreads = [float(np.sqrt(values.var(axis=1).mean())) or 1.0 for values in (similarity, log_odds)]
    candidates = [Fusion(share, *spreads) for share in SHARES.tolist()]
    means = [ndcg(reordered(ranking, each.value(similarity, log_odds)), grades).mean() for each in candidates]
    # Sums in another order may differ in the last digit, which is no gain.
    return candidates[int(np.argmax(np.round(means, 9)))]


def reordered(ranking: NDArray[np.int64], value: Floats) -> NDArray[np.int64]:
    """The entries of a ranking by falling value, those of one value in the order they had.

    Args:
        ranking: (queries, m) entries.
        value: (queries, m) of those entries.
    """
    return np.take_along_axis(ranking, ranked(value), axis=1)


def rank_collection(
    collection: Collection,
    matcher: Matcher,
    teacher: Teacher,
    untuned: Teacher,
    *,
    queries: int | None = None,
    validation_queries: int | None = None,
    top: int = TOP,
    batch_tokens: int = 1024,
) -> list[RetrievalResult]:
    """Rank a set's entries for its test queries.

    The decoder orders the encoder's best entries anew: alone (``decoder``), and with the similarity beside it
    (``encoder_decoder``), their shares fitted on validation queries (`fit_fusion`) and frozen. An entry is text a, as
    in `training_pairs`. `Matcher.rank` is not used, since it puts the query first where the task is directed, and
    answers with what was calibrated on pairs.

    Args:
        collection: The set.
        matcher: The student, trained on `training_pairs` of the set.
        teacher: The bi-encoder it learnt from. Loaded with a cache, its seconds are those of reading the cache.
        untuned: The same before the pairs, which may rank better.
        queries: Test queries that are asked, a fixed sample for all methods; by default all.
        validation_queries: Validation queries that the shares are fitted on; by default all.
        top: Entries that the decoder is asked for, a query.
        batch_tokens: Tokens of a batch.

    Returns:
        One result a method.

    Raises:
        FlipkdError: If a teacher is a cross-encoder, or bm25s is not installed.
    """
    test = collection.queries["test"].sample(queries)
    validation = collection.queries["validation"].sample(validation_queries)
    watch = _Watch()
    results = [_result("bm25", ranked(bm25(collection.texts, test.texts)), test, watch.seconds())]
    for method, small in (("untuned", untuned), ("teacher", teacher)):
        results.append(_result(method, ranked(_Similarities(small.vectors, collection)(test)), test, watch.seconds()))

    similarities = _Similarities(lambda texts: matcher.encode(texts, batch_tokens=batch_tokens), collection)
    similarity = similarities(test)
    ranking = ranked(similarity)
    encoding = watch.seconds()
    results.append(_result("encoder", ranking, test, encoding))

    best = ranking[:, :top]
    log_odds = _log_odds(matcher, collection, test, best, batch_tokens)
    seconds = encoding + watch.seconds()
    results.append(_result("decoder", reordered(best, log_odds), test, seconds, f"over the encoder's top {top}"))

    fitted_on = similarities(validation)
    known = ranked(fitted_on, top)
    fusion = fit_fusion(
        known,
        np.take_along_axis(fitted_on, known, axis=1),
        _log_odds(matcher, collection, validation, known, batch_tokens),
        validation.grades,
    )
    note = f"decoder's share {fusion.share:.2f}, fitted on {len(validation)} validation queries"
    announce(f"{collection.name}, encoder and decoder", note, "best NDCG@10 there")
    value = fusion.value(np.take_along_axis(similarity, best, axis=1), log_odds)
    return [*results, _result("encoder_decoder", reordered(best, value), test, seconds, note)]


class _Watch:
    """Seconds since it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def seconds(self) -> float:
        last, self._last = self._last, time.perf_counter()
        return self._last - last


class _Similarities:
    """Similarities of queries to a collection, whose distinct texts are encoded once."""

    def __init__(self, encode: Callable[[Sequence[str]], NDArray[np.float32]], collection: Collection) -> None:
        distinct = {text: number for number, text in enumerate(dict.fromkeys(collection.texts))}
        self._encode = encode
        self._vectors = encode(list(distinct)).astype(np.float64)
        # Entries of one text are to tie, and a product of matrices may round its columns differently.
        self._row = [distinct[text] for text in collection.texts]

    def __call__(self, queries: Queries) -> Floats:
        """(queries, entries) float64."""
        found: Floats = (self._encode(queries.texts) @ self._vectors.T)[:, self._row]
        return found


def _log_odds(
    matcher: Matcher, collection: Collection, queries: Queries, ranking: NDArray[np.int64], batch_tokens: int
) -> Floats:
    """(queries, m) float64 log-odds of the entries of a ranking, whether or not the artefact's answer uses them."""
    pairs = EncodedPairs.of(
        matcher.student,
        [collection.texts[entry] for entry in ranking.ravel()],
        [text for text in queries.texts for _ in range(ranking.shape[1])],
    )
    reader = Reader(matcher.student, batch_tokens=batch_tokens, progress=f"{collection.name}, decoder")
    found = reader.log_odds(pairs)
    if matcher.spec.symmetric:
        found = (found + reader.log_odds(pairs.swapped())) / 2
    return found.reshape(ranking.shape)


def _result(
    method: str, ranking: NDArray[np.int64], queries: Queries, seconds: float, note: str = ""
) -> RetrievalResult:
    grades = queries.grades
    return RetrievalResult(method, ndcg(ranking, grades), mrr(ranking, grades), success(ranking, grades), seconds, note)
