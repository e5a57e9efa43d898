"""`flipkd index info`: what an index says of itself. No model is needed."""

import json
import sys
from dataclasses import asdict, dataclass

from flipkd.cli.index import IndexOptions, place_of, require


@dataclass
class Options(IndexOptions):
    """Show an index's settings and how many entries it has, as JSON on standard output."""

    index: str = ""
    """The index: its folder, or the URI of a Milvus server."""


def run(options: Options) -> None:
    """Print one object."""
    from flipkd.retrieval.store import Store

    require(options, "index")
    store = Store.open(place_of(options, options.index))
    try:
        shown = {"entries": len(store), **asdict(store.settings)}
    finally:
        store.close()
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
