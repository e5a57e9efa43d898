"""Parts of the test pairs: by length, by word overlap, by a further column."""

from collections import Counter
from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.evaluation.overlap import overlap

Parts = dict[str, NDArray[np.bool_]]

MOST = 12
"""Values of a column that get a part of their own; the rarer ones are taken together."""


def slices_of(table: PairTable, columns: Sequence[str] = ()) -> dict[str, Parts]:
    """Cut test pairs in parts, by nothing that depends on a label or an answer.

    Args:
        table: The pairs.
        columns: Further columns of the file to cut by.

    Returns:
        By what was cut, the (n,) bool of each part; parts of one cut share no pair and hold all pairs.

    Raises:
        FlipkdError: If the file has no such column.
    """
    lengths = np.array([len(a) + len(b) for a, b in zip(table.text_a, table.text_b, strict=True)], dtype=np.float64)
    found = {"length (characters of both texts)": thirds(lengths), "word overlap (Jaccard)": thirds(overlap(table))}
    for column in columns:
        if column not in table.extra:
            there = ", ".join(repr(name) for name in table.extra) or "none"
            raise FlipkdError(f"{table.source} has no column {column!r} to cut by. Its further columns are: {there}.")
        found[column] = by_values(table.extra[column])
    return found


def thirds(value: NDArray[np.float64]) -> Parts:
    """Three parts of about the same number of pairs; equal values stay together, so there may be fewer.

    Args:
        value: (n,) float64.
    """
    edges = np.unique(np.quantile(value, [1 / 3, 2 / 3], method="inverted_cdf"))
    place = np.searchsorted(edges, value)
    inside = [place == at for at in np.unique(place)]
    ends = [(float(value[part].min()), float(value[part].max())) for part in inside]
    names = [_range(low, high, "{:.3g}") for low, high in ends]
    if len(set(names)) < len(names):
        names = [_range(low, high, "{!r}") for low, high in ends]
    return dict(zip(names, inside, strict=True))


def _range(low: float, high: float, form: str) -> str:
    shown = [str(int(end)) if end.is_integer() else form.format(end) for end in (low, high)]
    return shown[0] if low == high else " to ".join(shown)


def by_values(cells: Sequence[str]) -> Parts:
    """A part for each value; numbers of many values are cut in thirds, rare other values taken together.

    Args:
        cells: n cells.
    """
    counts = Counter(cells)
    if len(counts) > MOST:
        numbers = _numbers(cells)
        if numbers is not None:
            return thirds(numbers)
    shown = [value for value, _ in counts.most_common(MOST if len(counts) <= MOST else MOST - 1)]
    held = np.array(cells, dtype=object)
    found = {value or _unlike("(empty)", counts): held == value for value in shown}
    if len(counts) > len(shown):
        rest = ~np.any(list(found.values()), axis=0)
        found[_unlike(f"({len(counts) - len(shown)} rarer values)", counts)] = rest
    return found


def _unlike(name: str, values: Container[str]) -> str:
    """The name, in brackets until no value is called so."""
    while name in values:
        name = f"({name})"
    return name


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
