"""`flipkd index remove`: entries out of an index. No model is needed."""

from dataclasses import dataclass, field

from flipkd.cli.index import IndexOptions, place_of, require


@dataclass
class Options(IndexOptions):
    """Remove entries from an index, all or none."""

    index: str = ""
    """The index: its folder, or the URI of a Milvus server."""
    ids: list[str] = field(default_factory=list)
    """The ids of the entries: one, or a list, --ids '[pin, fees]'."""


def run(options: Options) -> None:
    """Check that all are there, and remove them."""
    from flipkd.console import announce
    from flipkd.retrieval.store import Store

    require(options, "index", "ids")
    store = Store.open(place_of(options, options.index))
    try:
        store.remove(options.ids)
        announce("index", options.index, f"{len(set(options.ids))} removed; {len(store)} entries now")
    finally:
        store.close()
