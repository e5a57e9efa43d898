"""One parser for the labels of every kind of file."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flipkd.errors import FlipkdError

MATCH = ("1", "1.0", "true", "yes", "y", "match", "duplicate", "equivalent", "entailment", "是")
"""The words read as 1, in any case; ``_`` and ``-`` inside a word count as a blank."""
NO_MATCH = (
    *("0", "0.0", "false", "no", "n", "no match", "not match", "not duplicate", "not equivalent"),
    *("not entailment", "否"),
)
"""The words read as 0, likewise."""
SHOWN = 5
"""How many offending rows an error lists."""

# 1 is also True and 1.0 here: they are equal and hash alike.
_MEANING: dict[object, int] = {**dict.fromkeys(MATCH, 1), **dict.fromkeys(NO_MATCH, 0), 1: 1, 0: 0}


def label_of(value: object) -> int | None:
    """The label one value stands for: 1, 0, or None if it stands for neither.

    Args:
        value: A bool, a number or a word. A number must be exactly 0 or 1: there is no cut for a graded
            label, because where to cut is a choice that belongs to the user.
    """
    if isinstance(value, str):
        # Inside a word alone: -1 is no 1.
        return _MEANING.get(" ".join(re.sub(r"(?<=\w)[_-](?=\w)", " ", value).split()).casefold())
    return _MEANING.get(value) if isinstance(value, bool | int | float) else None


def parse_labels(values: Sequence[object], places: Sequence[str], source: str, column: str) -> NDArray[np.int64]:
    """The labels of a column.

    Args:
        values: The cells, as `label_of` takes them.
        places: Where each cell is, such as ``line 7``, for the error.
        source: The file or data set, for the error.
        column: The column's name, for the error.

    Returns:
        (n,) int64 of 0 and 1.

    Raises:
        FlipkdError: If a cell is no label; it lists the first ones with their place.
    """
    labels = [label_of(value) for value in values]
    if None not in labels:
        return np.asarray(labels, dtype=np.int64)
    bad = [f"{places[row]}: {values[row]!r}" for row, label in enumerate(labels) if label is None]
    more = f" and {len(bad) - SHOWN} more close by" if len(bad) > SHOWN else ""
    raise FlipkdError(
        f"{source}: column {column!r} holds what is no label ({'; '.join(bad[:SHOWN])}{more}). "
        "A label is 0 or 1, or false/true, no/yes, n/y, 否/是. Turn graded labels into 0 and 1 first, "
        "and take out rows without one."
    )
