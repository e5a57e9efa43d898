"""What an index is made of: its settings, and the fields of its collection."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from flipkd.errors import FlipkdError
from flipkd.retrieval.engine import Place

FirstStage = Literal["dense", "bm25", "hybrid"]
Analyzer = Literal["standard", "jieba"]

PROPERTY = "flipkd"
"""Property of a collection under which its settings are kept, as JSON."""
LONGEST = {"id": 512, "text": 65_535, "entry": 65_535}
"""Bytes of a field, the most that a cluster takes."""


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


def settings_of(described: dict[str, Any], place: Place) -> Settings:
    """The settings that are kept with a collection.

    Args:
        described: What the engine says of it.
        place: Where it is, for the message.

    Raises:
        FlipkdError: If there are none of this version.
    """
    kept = described["properties"].get(PROPERTY)
    if kept is None or json.loads(kept).get("version") != Settings.version:
        raise FlipkdError(f"{place} was made by another program or another version of flipkd. Build it again.")
    return Settings(**json.loads(kept))


def make_schema(client: Any, place: Place, settings: Settings) -> tuple[Any, Any]:
    """The fields of a collection, and their indexes.

    Args:
        client: A `pymilvus.MilvusClient`.
        place: Where the collection is to be.
        settings: Of the index.
    """
    from pymilvus import DataType, Function, FunctionType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=LONGEST["id"])
    words: dict[str, Any] = {"tokenizer": settings.analyzer}
    if place.remote:
        words["filter"] = ["lowercase"]  # Milvus Lite does so by itself
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
