"""What lies below an index: a collection of Milvus with vectors, words and entries."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flipkd.errors import FlipkdError
from flipkd.retrieval.engine import Place, connect, prepare_jieba, require_index, translated
from flipkd.retrieval.entries import Entry, content_hash

FirstStage = Literal["dense", "bm25", "hybrid"]
Analyzer = Literal["standard", "jieba"]

PROPERTY = "flipkd"
"""Property of a collection under which its settings are kept, as JSON."""
LONGEST = {"id": 512, "text": 65_535, "entry": 65_535}
"""Bytes of a field, the most that a cluster takes."""
PAGE = 256
"""Rows that are asked for at once."""
RRF = 60
"""Constant of reciprocal rank fusion, that of its authors. Ranks are fused, since the engines differ in the sign and
scale of BM25."""


@dataclass(frozen=True)
class Settings:
    """What an index is made of, kept with it."""

    fingerprint: str
    """Of the model that made the vectors, see `flipkd.matching.artefact.vector_fingerprint`."""
    width: int
    """Numbers of a vector."""
    first_stage: FirstStage
    """How candidates are found, where a search does not say."""
    candidates: int
    """How many the decoder verifies, where a search does not say."""
    with_answer: bool
    """Whether an entry's answer is embedded and matched behind its question."""
    entry_first: bool
    """Whether an entry is text a of its pairs and the query text b."""
    analyzer: Analyzer
    """How BM25 parts texts into words."""
    version: int = 1
    """Of these settings."""


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
        schema, indexes = _schema(client, place, settings)
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
            FlipkdError: If there is none, another process has the folder open, or the server does not answer.
        """
        require_index(place)
        client, stop = connect(place)
        try:
            with translated(place):
                if not client.has_collection(place.collection):
                    raise FlipkdError(f"{place}: there is no such collection. Make it: flipkd index build")
                kept = client.describe_collection(place.collection)["properties"].get(PROPERTY)
                if kept is None or json.loads(kept).get("version") != Settings.version:
                    raise FlipkdError(
                        f"{place} was made by another program or another version of flipkd. Build it again."
                    )
                settings = Settings(**json.loads(kept))
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

    def has(self, collection: str) -> bool:
        """Whether the engine has a collection of that name."""
        with translated(self.place):
            return bool(self._client.has_collection(collection))

    def drop(self) -> None:
        """Take the collection away."""
        with translated(self.place):
            self._client.drop_collection(self.place.collection)

    def rename(self, collection: str, *, overwrite: bool) -> None:
        """Give the collection another name, whose collection is dropped first if `overwrite`."""
        with translated(self.place):
            if overwrite and self._client.has_collection(collection):
                self._client.drop_collection(collection)
            self._client.rename_collection(self.place.collection, collection)
            self._client.load_collection(collection)
        self.place = Place(self.place.path, collection, self.place.token)

    def flush(self) -> None:
        """Have the engine write its segments."""
        with translated(self.place):
            self._client.flush(self.place.collection)

    def __len__(self) -> int:
        with translated(self.place):
            found = self._client.query(self.place.collection, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of those ids that are there."""
        if not ids:
            return {}
        with translated(self.place):
            found = self._client.get(
                self.place.collection, ids=list(ids), output_fields=["id", "text", "entry", "dense"]
            )
        return {record["id"]: _row(record) for record in found}

    def known(self, ids: Sequence[str]) -> dict[str, tuple[str, Entry]]:
        """Content hash and entry of those ids that are there."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), PAGE):
            some = list(ids[start : start + PAGE])
            with translated(self.place):
                found += self._client.get(self.place.collection, ids=some, output_fields=["id", "hash", "entry"])
        return {record["id"]: (record["hash"], _entry(record)) for record in found}

    def __iter__(self) -> Iterator[Row]:
        """All rows, in no certain order."""
        with translated(self.place):
            pages = self._client.query_iterator(
                self.place.collection, filter="", output_fields=["id", "text", "entry", "dense"], batch_size=PAGE
            )
            while page := pages.next():
                yield from map(_row, page)
            pages.close()

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
            with translated(self.place):
                self._client.upsert(self.place.collection, records)

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
            with translated(self.place):
                self._client.delete(self.place.collection, ids=list(known))

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
        with translated(self.place):
            if stage == "hybrid":
                requests = [
                    AnnSearchRequest(dense, "dense", {"metric_type": "IP"}, limit=limit),
                    AnnSearchRequest(by_words["data"], "sparse", {"metric_type": "BM25"}, limit=limit),
                ]
                found = self._client.hybrid_search(self.place.collection, requests, RRFRanker(RRF), **wanted)
            else:
                what = by_words if stage == "bm25" else {"data": dense, "anns_field": "dense"}
                found = self._client.search(self.place.collection, **what, **wanted)
        return [[_row({"id": hit["id"], **hit["entity"]}) for hit in hits] for hits in found]


def _schema(client: Any, place: Place, settings: Settings) -> tuple[Any, Any]:
    """The fields of a collection, and their indexes."""
    from pymilvus import DataType, Function, FunctionType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=LONGEST["id"])
    words = {"tokenizer": settings.analyzer}
    if place.remote and settings.analyzer == "jieba":
        words["filter"] = ["lowercase"]  # type: ignore[assignment]
    schema.add_field("text", DataType.VARCHAR, max_length=LONGEST["text"], enable_analyzer=True, analyzer_params=words)
    schema.add_field("hash", DataType.VARCHAR, max_length=64)
    schema.add_field("entry", DataType.JSON)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=settings.width)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["sparse"]))
    indexes = client.prepare_index_params()
    # Exact: a FAQ is small enough, and an approximate index would lose right entries.
    indexes.add_index("dense", index_type="FLAT", metric_type="IP")
    indexes.add_index(
        "sparse",
        index_type="SPARSE_INVERTED_INDEX",
        metric_type="BM25",
        params={"bm25_k1": 1.5, "bm25_b": 0.75},
    )
    return schema, indexes


def _entry(record: dict[str, Any]) -> Entry:
    kept = record["entry"]
    return Entry(record["id"], kept["question"], kept["answer"], kept["extra"])


def _row(record: dict[str, Any]) -> Row:
    return Row(_entry(record), record["text"], np.asarray(record["dense"], dtype=np.float32))


def _record(row: Row) -> dict[str, Any]:
    entry = {"question": row.entry.question, "answer": row.entry.answer, "extra": row.entry.extra}
    return {"id": row.entry.id, "text": row.text, "hash": content_hash(row.text), "entry": entry, "dense": row.vector}
