"""`FaqIndex`: the encoder and BM25 find the entries of a FAQ, the decoder verifies the best."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce, track
from flipkd.data.given import given_texts
from flipkd.data.identity import is_empty
from flipkd.errors import FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.build import build_store, choose_analyzer
from flipkd.retrieval.engine import Place
from flipkd.retrieval.entries import Entry, check_entries, content_hash
from flipkd.retrieval.results import Candidates, Change, Found, verified
from flipkd.retrieval.schema import Analyzer, FirstStage, Settings
from flipkd.retrieval.store import Row, Store, similarities

CHUNK = 256
"""Entries that are encoded and written together: each such write is finished or not there, whatever happens."""
QUERIES = 32
"""Queries that are answered together."""
CANDIDATES = 20
"""Entries of a query that the decoder verifies."""


class FaqIndex:
    """An open index. Make one with `build` or `open`; close it, or use it as a context manager.

    Args:
        store: The engine below.
        matcher: The artefact that made its vectors, perhaps with another policy or prior than its own.
        batch_tokens: Tokens of a batch.

    Raises:
        FlipkdError: If another model made the vectors.
    """

    def __init__(self, store: Store, matcher: Matcher, *, batch_tokens: int = 1024) -> None:
        if store.settings.fingerprint != _fingerprint(matcher):
            raise FlipkdError(
                f"{store.place} holds the vectors of another model, which can't be compared with this one's. Open it "
                "with the artefact it was built with, or build it again with this one."
            )
        self.store = store
        self.matcher = matcher
        self.batch_tokens = batch_tokens

    @classmethod
    def build(
        cls,
        matcher: Matcher,
        entries: Sequence[Entry],
        place: Place | str | Path,
        *,
        first_stage: FirstStage = "hybrid",
        candidates: int = CANDIDATES,
        with_answer: bool = False,
        entry_first: bool = False,
        analyzer: Analyzer | None = None,
        overwrite: bool = False,
        batch_tokens: int = 1024,
    ) -> "FaqIndex":
        """Build an index: it appears when it is whole.

        Args:
            matcher: The artefact.
            entries: The entries, at least one.
            place: A folder to make, the URI of a Milvus server, or a `Place`.
            first_stage: How candidates are found by default.
            candidates: How many the decoder verifies by default.
            with_answer: Whether an entry's answer is embedded and matched behind its question.
            entry_first: Whether an entry is text a of its pairs. It matters to a directed artefact: the side on which
                its training pairs had the entries.
            analyzer: How BM25 parts texts into words, ``standard`` or ``jieba``; by default by the entries' script.
            overwrite: Whether an index that is there is replaced.
            batch_tokens: Tokens of a batch.

        Raises:
            FlipkdError: If there is no entry, an id comes twice, the place is taken, or the engine refuses.

        Example:
            ```python
            with FaqIndex.build(matcher, [Entry("pin", "How do I change my PIN?")], "idx") as index:
                print(index.search("change PIN").answer)
            ```
        """
        place = _place(place)
        if not entries:
            raise FlipkdError("There is no entry to build an index of.")
        check_entries(entries)
        _require_some(candidates=candidates)
        if analyzer is None:
            analyzer, why = choose_analyzer([entry.text(with_answer) for entry in entries])
            announce("words of BM25", analyzer, why)
        settings = Settings(
            fingerprint=_fingerprint(matcher),
            width=matcher.student.width,
            first_stage=first_stage,
            candidates=candidates,
            with_answer=with_answer,
            entry_first=entry_first,
            analyzer=analyzer,
        )
        store = build_store(
            place,
            settings,
            lambda store: cls(store, matcher, batch_tokens=batch_tokens).add(entries),
            overwrite=overwrite,
        )
        return cls(store, matcher, batch_tokens=batch_tokens)

    @classmethod
    def open(cls, place: Place | str | Path, matcher: Matcher, *, batch_tokens: int = 1024) -> "FaqIndex":
        """Open an index.

        Args:
            place: Its folder, the URI of a Milvus server, or a `Place`.
            matcher: The artefact that it was built with.
            batch_tokens: Tokens of a batch.

        Raises:
            FlipkdError: If there is none, another process has its folder open, or another model made its vectors.
        """
        store = Store.open(_place(place))
        try:
            return cls(store, matcher, batch_tokens=batch_tokens)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the engine; a local folder can then be opened by others."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.store)

    def entries(self) -> Iterator[Entry]:
        """All entries, in no certain order."""
        return (row.entry for row in self.store)

    def add(self, entries: Sequence[Entry]) -> Change:
        """Put entries in: new ones are added, those of a known id updated, unchanged ones left alone.

        They are written in chunks, in their order; what was written stays if the process dies.

        Args:
            entries: The entries.

        Raises:
            FlipkdError: If an id comes twice, or an id or question is empty; then nothing is written.
        """
        check_entries(entries)
        change = Change()
        for start in _shown(len(entries), CHUNK, "entries"):
            change += self._put(entries[start : start + CHUNK])
        return change

    def update(self, entries: Sequence[Entry]) -> Change:
        """As `add`, for entries that are there.

        Raises:
            FlipkdError: As `add`, and if an id is not there; then nothing is written.
        """
        known = self.store.known([entry.id for entry in entries])
        unknown = [entry.id for entry in entries if entry.id not in known]
        if unknown:
            raise FlipkdError(f"{self.store.place}: there is no entry {', '.join(map(repr, unknown))}. Add it.")
        return self.add(entries)

    def remove(self, ids: Sequence[str]) -> None:
        """Take entries out.

        Raises:
            FlipkdError: If an id is not there; nothing is taken out.
        """
        self.store.remove(ids)

    def _put(self, entries: Sequence[Entry]) -> Change:
        texts = {entry.id: entry.text(self.store.settings.with_answer) for entry in entries}
        known = self.store.known(list(texts))
        same = {name for name, (digest, _) in known.items() if digest == content_hash(texts[name])}
        anew = [entry for entry in entries if entry.id not in same]
        kept = [entry for entry in entries if entry.id in same and entry != known[entry.id][1]]
        old = self.store.rows([entry.id for entry in kept])
        vectors = self.matcher.encode([texts[entry.id] for entry in anew], batch_tokens=self.batch_tokens)
        rows = [Row(entry, texts[entry.id], vector) for entry, vector in zip(anew, vectors, strict=True)]
        rows += [replace(old[entry.id], entry=entry) for entry in kept]
        self.store.write(rows)
        added = len(entries) - len(known)
        return Change(added, len(anew) - added, len(kept), len(same) - len(kept))

    def search(
        self, query: str, *, top: int = 5, first_stage: FirstStage | None = None, candidates: int | None = None
    ) -> Found:
        """The entries that match a query best, and the answer, if there is one.

        Args:
            query: The query.
            top: How many entries to give at most.
            first_stage: How candidates are found: by their vectors (``dense``), by their words (``bm25``), or by both,
                their ranks fused (``hybrid``); by default as the index was built.
            candidates: How many the decoder verifies; by default as the index was built.

        Raises:
            FlipkdError: If the query is empty, or a number is below 1.
        """
        return self.search_many([query], top=top, first_stage=first_stage, candidates=candidates)[0]

    def search_many(
        self,
        queries: Sequence[str],
        *,
        top: int = 5,
        first_stage: FirstStage | None = None,
        candidates: int | None = None,
    ) -> list[Found]:
        """As `search`, many queries at once: each distinct text of a batch is read once."""
        queries = given_texts(queries, "queries")
        if blank := [number for number, query in enumerate(queries, start=1) if is_empty(query)]:
            raise FlipkdError(f"Query {blank[0]} is empty: an empty text matches nothing in earnest.")
        _require_some(top=top)
        starts = _shown(len(queries), QUERIES, "queries")
        parts = (self._search(queries[start : start + QUERIES], top, first_stage, candidates) for start in starts)
        return [found for part in parts for found in part]

    def find(
        self,
        queries: Sequence[str],
        vectors: NDArray[np.float32],
        *,
        first_stage: FirstStage | None = None,
        candidates: int | None = None,
    ) -> list[Candidates]:
        """The first stage alone: what is to be verified. No model is asked.

        Args:
            queries: q queries.
            vectors: (q, width) float32 of the matcher; BM25 needs them, too, for the similarity of its hits.
            first_stage: As for `search`.
            candidates: As for `search`.

        Raises:
            FlipkdError: If a number is below 1, or the engine does not answer.
        """
        settings = self.store.settings
        stage, limit = first_stage or settings.first_stage, settings.candidates if candidates is None else candidates
        _require_some(candidates=limit)
        made, ranked = [], self.store.candidates(queries, vectors, stage, limit)
        for query, vector, rows in zip(queries, vectors, ranked, strict=True):
            pairs = [(row.text, query) if settings.entry_first else (query, row.text) for row in rows]
            made.append(Candidates(query, tuple(row.entry for row in rows), pairs, similarities(vector, rows)))
        return made

    def _search(self, queries: Sequence[str], top: int, stage: FirstStage | None, limit: int | None) -> Iterator[Found]:
        vectors = self.matcher.encode(queries, batch_tokens=self.batch_tokens)
        found = self.find(queries, vectors, first_stage=stage, candidates=limit)
        pairs = [pair for each in found for pair in each.pairs]
        answers = self.matcher.match_arrays(
            [a for a, _ in pairs],
            [b for _, b in pairs],
            batch_tokens=self.batch_tokens,
            similarity=np.concatenate([each.similarity for each in found]),
        )
        said = iter(answers.results())
        return (verified(each, list(islice(said, len(each.pairs))), top) for each in found)


def _require_some(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise FlipkdError(f"{name} is {number}; it must be at least 1.")


def _shown(count: int, size: int, what: str) -> Iterable[int]:
    """Where each batch begins, behind a progress bar if there are several."""
    starts = range(0, count, size)
    return track(starts, f"{what}, {size} at a time") if len(starts) > 1 else starts


def _fingerprint(matcher: Matcher) -> str:
    if matcher.fingerprint is None:
        raise FlipkdError("An index needs the matcher of a saved artefact: Matcher.from_pretrained(folder).")
    return matcher.fingerprint


def _place(place: Place | str | Path) -> Place:
    return place if isinstance(place, Place) else Place(str(place))
