"""Data sets of the hub, by id."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flipkd.console import announce
from flipkd.data.labels import label_of
from flipkd.data.parquet import arrow_batches
from flipkd.data.records import Batch, Records
from flipkd.errors import FlipkdError


def _candidates(name: str) -> list[tuple[str, str | None]]:
    """What an id can mean, as data set and configuration: ``a/b`` is owner/name, or name/configuration."""
    parts = name.split("/")
    if len(parts) == 2:
        return [(name, None), (parts[0], parts[1])]
    return [("/".join(parts[:2]), "/".join(parts[2:]) or None)]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _load(wanted: str) -> Any:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    name, _, split = wanted.partition(":")
    announce("data", f"hub data set {name}, split {split or 'train'}", f"there is no file {wanted}")
    reasons = []
    for dataset, configuration in _candidates(name):
        # A folder would be read by the datasets package's own CSV reader, which does not keep strings.
        if Path(dataset).exists():
            reasons.append(f"{dataset} is a folder: name a file in it")
            continue
        try:
            return load_dataset(dataset, configuration, split=split or "train")
        except DatasetNotFoundError as error:
            reasons.append(_reason(error))
        except Exception as error:  # the package lets through whatever its many back ends raise
            reasons.append(_reason(error))
            break
    raise FlipkdError(
        f"{wanted!r} is neither a file nor a data set that could be loaded ({'; '.join(reasons)}). "
        "Check the path, or the id: owner/name, owner/name/configuration, with :split at the end."
    )


def _class_names(features: Any) -> dict[str, list[str]]:
    """The names to read instead of the numbers, for each column of classes whose names are label words."""
    from datasets import ClassLabel

    found = {}
    for column, feature in features.items():
        if isinstance(feature, ClassLabel):
            shown = ", ".join(f"{number} = {name}" for number, name in enumerate(feature.names))
            if all(label_of(name) is not None for name in feature.names):
                found[column] = feature.names
                announce(column, shown, "the data set's class names, read as label words")
            else:
                announce(column, shown, "the data set's class names; as a label, 1 is read as a match")
    return found


def _named(batch: Batch, header: list[str], names: dict[str, list[str]]) -> Batch:
    # The hub marks a row without a class by -1.
    for place, column in enumerate(header):
        if column in names:
            numbers = batch.columns[place]
            batch.columns[place] = [None if n is None or n < 0 else names[column][n] for n in numbers]
    return batch


@contextmanager
def hub_records(wanted: str, chunk_rows: int) -> Iterator[Records]:
    """Open a data set by its id, through ``datasets.load_dataset``.

    A column of classes whose names are label words (``not_equivalent``, ``equivalent``) is read by those
    names, so that a set which counts its classes the other way round is not read upside down.

    Args:
        wanted: ``name``, ``owner/name`` or either with ``/configuration``, and ``:split`` if not train.
        chunk_rows: Rows in a batch; the data lies in a memory-mapped file.

    Raises:
        FlipkdError: If it can't be loaded, with the reason.
    """
    dataset = _load(wanted)
    header = list(dataset.column_names)
    names = _class_names(dataset.features)
    batches = arrow_batches(dataset.with_format("arrow").iter(batch_size=chunk_rows))
    yield Records(header, (_named(batch, header, names) for batch in batches), "row")
