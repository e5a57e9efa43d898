"""What lies below an index: a collection of Milvus with vectors, words and entries."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipkd.errors import FlipkdError
from flipkd.retrieval.engine import Place, connect, prepare_jieba, require_index, translated
from flipkd.retrieval.entries import Entry, content_hash
from flipkd.retrieval.schema import LONGEST, PROPERTY, FirstStage, Settings, make_schema, settings_of

PAGE = 256
"""Rows that are asked for at once."""
PART = 1024
"""Rows that a part of all has on average, at most."""
TIMEOUT = 20.0
"""Seconds that a server may take for a call."""
RRF = 60
"""Constant of reciprocal rank fusion, that of its authors. Ranks are fused, since the engines differ in the sign and
scale of BM25."""


@dataclass(frozen=True)
class Row:
    """An entry as it is stored."""

    entry: Entry
    """The entry."""
    text: str
    """What is embedded and matched."""
    vector: NDArray[np.float32]
    """(width,) float32 of norm 1."""


class Store:
    """A collection that is open, made by `create` or `open`. Close it: a local folder lets one process in at a time.

    Args:
        place: Where it is.
        client: A `pymilvus.MilvusClient`.
        stop: Lets go of the engine.
        settings: Of the index.
    """

    def __init__(self, place: Place, client: Any, stop: Callable[[], None], settings: Settings) -> None:
        self.place = place
        self.settings = settings
        self._client = client
        self._stop = stop

    @classmethod
    def create(cls, place: Place, settings: Settings) -> "Store":
        """An empty collection.

        Raises:
            FlipkdError: If the engine refuses it.
        """
        if settings.analyzer == "jieba" and not place.remote:
            prepare_jieba()
        client, stop = connect(place)
        schema, indexes = make_schema(client, place, settings)
        try:
            with translated(place):
                client.create_collection(
                    place.collection,
                    schema=schema,
                    index_params=indexes,
                    properties={PROPERTY: json.dumps(asdict(settings))},
                    # What was written is found by the next search.
                    consistency_level="Strong",
                )
        except BaseException:
            stop()
            raise
        return cls(place, client, stop, settings)

    @classmethod
    def open(cls, place: Place) -> "Store":
        """The collection of a finished index.

        Raises:
            FlipkdError: If there is none, a part of it is missing, another process has the folder open, or the server
                does not answer.
        """
        require_index(place)
        client, stop = connect(place)
        try:
            with translated(place):
                if not client.has_collection(place.collection):
                    raise FlipkdError(f"{place}: there is no such collection. Make it: flipkd index build")
                settings = settings_of(client.describe_collection(place.collection), place)
                if settings.analyzer == "jieba" and not place.remote:
                    prepare_jieba()
                client.load_collection(place.collection)
        except BaseException:
            stop()
            raise
        return cls(place, client, stop, settings)

    def close(self) -> None:
        """Let go of the engine."""
        self._stop()

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call the client on the collection. A server that hangs is not waited for; one that came again loads anew."""
        from pymilvus.exceptions import MilvusException

        if self.place.remote:
            options["timeout"] = TIMEOUT
        with translated(self.place):
            call = getattr(self._client, method)
            try:
                return call(self.place.collection, *args, **options)
            except MilvusException as error:
                # In Milvus Lite's words, and in a cluster's.
                if not self.place.remote or not ("released" in error.message or "not loaded" in error.message):
                    raise
                self._client.load_collection(self.place.collection, timeout=TIMEOUT)
                return call(self.place.collection, *args, **options)

    def _require_unchanged(self) -> None:
        """Check that nobody behind the server has built the collection again with another model."""
        if self.place.remote and settings_of(self._call("describe_collection"), self.place) != self.settings:
            raise FlipkdError(f"{self.place} was built again, by another model or otherwise. Open it again.")

    def has(self, collection: str) -> bool:
        """Whether the engine has a collection of that name."""
        with translated(self.place):
            return bool(self._client.has_collection(collection))

    def drop(self) -> None:
        """Take the collection away."""
        with translated(self.place):
            self._client.drop_collection(self.place.collection)

    def rename(self, collection: str, *, overwrite: bool) -> None:
        """Give the collection another name; one of that name is put aside if `overwrite`, and dropped at the end."""
        aside = f"{self.place.collection}_old"
        with translated(self.place):
            replaced = overwrite and self._client.has_collection(collection)
            if replaced:
                self._client.rename_collection(collection, aside)
            try:
                self._client.rename_collection(self.place.collection, collection)
            except BaseException:
                if replaced:
                    self._client.rename_collection(aside, collection)
                raise
            self._client.load_collection(collection)
            if replaced:
                self._client.drop_collection(aside)
        self.place = Place(self.place.path, collection, self.place.token)

    def flush(self) -> None:
        """Have the engine write its segments."""
        with translated(self.place):
            self._client.flush(self.place.collection)

    def __len__(self) -> int:
        found = self._call("query", filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of those ids that are there."""
        if not ids:
            return {}
        found = self._call("query", filter=_among(ids), output_fields=["id", "text", "entry", "dense"])
        return {record["id"]: _row(record) for record in found}

    def known(self, ids: Sequence[str]) -> dict[str, tuple[str, Entry]]:
        """Content hash and entry of those ids that are there."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), PAGE):
            some = _among(ids[start : start + PAGE])
            found += self._call("query", filter=some, output_fields=["id", "hash", "entry"])
        return {record["id"]: (record["hash"], _entry(record)) for record in found}

    def __iter__(self) -> Iterator[Row]:
        """All rows, in no certain order: in parts by their hashes, since Milvus' own iterator reads ids as language."""
        digits, count = 0, len(self)
        while count > PART * 16**digits:
            digits += 1
        for part in range(16**digits):
            start = f"{part:0{digits}x}" if digits else ""
            # In order "g" comes behind every hexadecimal digit.
            some = f'hash >= "{start}" and hash < "{start}g"'
            yield from map(_row, self._call("query", filter=some, output_fields=["id", "text", "entry", "dense"]))

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, in place of those with the same ids: when it is back they are kept whatever happens to us.

        Raises:
            FlipkdError: If an id, text or entry is too long for the engine; nothing is written.
        """
        records = [_record(row) for row in rows]
        for row, record in zip(rows, records, strict=True):
            for name, most in LONGEST.items():
                size = len((json.dumps(record[name], ensure_ascii=False) if name == "entry" else record[name]).encode())
                if size > most:
                    raise FlipkdError(
                        f"Entry {row.entry.id[:60]!r}: its {name} takes {size} bytes, more than the {most} of an "
                        "index. Shorten it."
                    )
        if records:
            self._require_unchanged()
            self._call("upsert", records)

    def remove(self, ids: Sequence[str]) -> None:
        """Take rows out.

        Raises:
            FlipkdError: If an id is not there; nothing is taken out.
        """
        known = self.known(ids)
        unknown = [name for name in ids if name not in known]
        if unknown:
            raise FlipkdError(f"{self.place}: there is no entry {', '.join(map(repr, unknown))}. Nothing was removed.")
        if known:
            self._call("delete", filter=_among(list(known)))

    def candidates(
        self, queries: Sequence[str], vectors: NDArray[np.float32] | None, stage: FirstStage, limit: int
    ) -> list[list[Row]]:
        """What the first stage finds, the best first: a list a query, shorter than `limit` where BM25 finds no more.

        Args:
            queries: q texts, read by BM25.
            vectors: (q, width) float32, read by the other stages.
            stage: Which.
            limit: The most entries of a query.
        """
        from pymilvus import AnnSearchRequest, RRFRanker

        wanted: dict[str, Any] = {"limit": limit, "output_fields": ["text", "entry", "dense"]}
        dense = [] if vectors is None else vectors.tolist()
        by_words: dict[str, Any] = {"data": list(queries), "anns_field": "sparse"}
        self._require_unchanged()
        if stage == "hybrid":
            requests = [
                AnnSearchRequest(dense, "dense", {"metric_type": "IP"}, limit=limit),
                AnnSearchRequest(by_words["data"], "sparse", {"metric_type": "BM25"}, limit=limit),
            ]
            found = self._call("hybrid_search", requests, RRFRanker(RRF), **wanted)
        else:
            what = by_words if stage == "bm25" else {"data": dense, "anns_field": "dense"}
            found = self._call("search", **what, **wanted)
        return [[_row({"id": hit["id"], **hit["entity"]}) for hit in hits] for hits in found]


def similarities(query: NDArray[np.float32], rows: Sequence[Row]) -> NDArray[np.float64]:
    """(n,) float64 cosines of a query and n rows.

    Args:
        query: (width,) float32 of norm 1.
        rows: The rows.
    """
    if not rows:
        return np.zeros(0)
    return np.asarray(np.einsum("d,nd->n", query, np.stack([row.vector for row in rows]), dtype=np.float64))


def _among(ids: Sequence[str]) -> str:
    """The rows of these ids, in Milvus' language: its client would leave a quotation mark in an id as it is."""
    return f"id in {json.dumps(list(ids), ensure_ascii=False)}"


def _entry(record: dict[str, Any]) -> Entry:
    kept = record["entry"]
    return Entry(record["id"], kept["question"], kept["answer"], kept["extra"])


def _row(record: dict[str, Any]) -> Row:
    return Row(_entry(record), record["text"], np.asarray(record["dense"], dtype=np.float32))


def _record(row: Row) -> dict[str, Any]:
    entry = {"question": row.entry.question, "answer": row.entry.answer, "extra": row.entry.extra}
    return {"id": row.entry.id, "text": row.text, "hash": content_hash(row.text), "entry": entry, "dense": row.vector}
