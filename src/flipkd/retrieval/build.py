"""A new index, that appears when it is whole."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from flipkd.errors import FlipkdError
from flipkd.retrieval.engine import Place, require_closed, require_free
from flipkd.retrieval.schema import Analyzer, Settings
from flipkd.retrieval.store import Store

Fill = Callable[[Store], object]

CHINESE = 0.1
"""Share of entries with Chinese characters from which on BM25 parts texts by a dictionary."""

_HAN = re.compile(r"[\u3400-\u9fff]")


def build_store(place: Place, settings: Settings, fill: Fill, *, overwrite: bool) -> Store:
    """Make a store under another name, fill it, and rename it.

    Args:
        place: Where it is to be.
        settings: Of the index.
        fill: Writes the rows.
        overwrite: Whether an index that is there is replaced, once the new one is whole.

    Raises:
        FlipkdError: If the place is taken, or the engine refuses; nothing is left then.
    """
    return (_remote if place.remote else _local)(place, settings, fill, overwrite=overwrite)


def choose_analyzer(texts: Sequence[str]) -> tuple[Analyzer, str]:
    """How BM25 is to part the texts into words, and why."""
    share = sum(bool(_HAN.search(text)) for text in texts) / len(texts)
    if share >= CHINESE:
        return "jieba", f"{share:.0%} of the entries have Chinese characters, which no blanks part"
    return "standard", "words between blanks and marks, in lower case"


def _local(place: Place, settings: Settings, fill: Fill, *, overwrite: bool) -> Store:
    # Of a link, what it leads to is replaced.
    place = replace(place, path=str(Path(place.path).resolve())) if Path(place.path).is_symlink() else place
    output = Path(place.path)
    require_free(place, overwrite=overwrite)
    partial = output.with_name(f"{output.name}.partial-{uuid4().hex[:8]}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        store = Store.create(replace(place, path=str(partial)), settings)
        try:
            fill(store)
            store.flush()
        finally:
            store.close()
        _replace(place, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Store.open(place)


def _replace(place: Place, partial: Path) -> None:
    """Put a new index in the place of an old one, if any, which nobody may have open."""
    output = Path(place.path)
    if not output.exists():
        partial.rename(output)
        return
    require_closed(place)
    old = output.with_name(f"{output.name}.old-{uuid4().hex[:8]}")
    output.rename(old)
    try:
        partial.rename(output)
    except BaseException:
        old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remote(place: Place, settings: Settings, fill: Fill, *, overwrite: bool) -> Store:
    partial = replace(place, collection=f"{place.collection}_partial_{uuid4().hex[:8]}")
    store = Store.create(partial, settings)
    try:
        try:
            if store.has(place.collection) and not overwrite:
                raise FlipkdError(f"{place} is already there. Choose another --collection, or --overwrite it.")
            fill(store)
            store.flush()
        except BaseException:
            store.drop()
            raise
        store.rename(place.collection, overwrite=overwrite)
    except BaseException:
        store.close()
        raise
    return store
