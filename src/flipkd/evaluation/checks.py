"""What every evaluation asks of its numbers before it starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.errors import FlipkdError


def finite(value: ArrayLike, what: str) -> NDArray[np.float64]:
    """The values as (n,) float64.

    Args:
        value: (n,) numbers.
        what: What they are, for the message, such as ``log-odds of the decoder``.

    Raises:
        FlipkdError: If they are not one row of finite numbers.
    """
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.ndim != 1:
        raise FlipkdError(f"The {what} must be one number per pair, not an array of shape {numbers.shape}.")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise FlipkdError(
            f"The {what} holds {bad.size} values that are not finite, the first at row {bad[0]} "
            f"({numbers[bad[0]]}). A model that answers so is broken: look for NaN in its training log."
        )
    return numbers


def both_classes(label: ArrayLike, n: int) -> NDArray[np.int64]:
    """The labels as (n,) int64.

    Args:
        label: (n,) 0 or 1.
        n: How many there must be.

    Raises:
        FlipkdError: If there are more or fewer, other values than 0 and 1, or only one of them.
    """
    given = np.asarray(label)
    if given.shape != (n,):
        raise FlipkdError(f"There are {n} values but labels of shape {given.shape}; give one label per pair.")
    matches, others = int((given == 1).sum()), int((given == 0).sum())
    if matches + others != n:
        raise FlipkdError("Labels must be 0 or 1 for every pair.")
    if not matches or not others:
        raise FlipkdError(
            f"The pairs have {matches} matches and {others} non-matches; measuring needs both. "
            "Add pairs of the missing label, or split the file so that each part has both."
        )
    return given.astype(np.int64)


@contextmanager
def as_written(what: str) -> Iterator[None]:
    """Errors of fields that an artefact lacks or that were edited, as one of ours.

    Args:
        what: What the fields are of, such as ``answer``.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise FlipkdError(
            f"The artefact's {what} is not what this flipkd writes ({error}): it was written by another version, or "
            "edited. Take flipkd.json from where it was made."
        ) from error


def require_numbers(**numbers: float) -> None:
    """Check fields by name.

    Raises:
        ValueError: If one is no finite number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not isfinite(value):
            raise ValueError(f"{name} is {value!r}, no finite number")
