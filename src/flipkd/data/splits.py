"""Splits and folds that share no text: whole groups of linked pairs are dealt out."""

from collections import Counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.console import warn
from flipkd.data.identity import text_key
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

INDEPENDENT = 0.8
"""With fewer independent groups than this share of the pairs, what takes the pairs for independent is warned of."""


def _key_ids(text_a: list[str], text_b: list[str]) -> NDArray[np.int64]:
    """(2, n) int64: the number of each text's key, by first appearance."""
    keys: dict[str, int] = {}
    known: dict[str, int] = {}  # each distinct text is folded once
    for text in (*text_a, *text_b):
        if text not in known:
            known[text] = keys.setdefault(text_key(text), len(keys))
    sides = [[known[text] for text in side] for side in (text_a, text_b)]
    return np.asarray(sides, dtype=np.int64).reshape(2, len(text_a))


def text_groups(text_a: list[str], text_b: list[str]) -> NDArray[np.int64]:
    """The group of each pair, where pairs that share a text, at once or by way of others, are one group.

    Texts are the same if they are after NFKC, casefolding and taking out white space.

    Args:
        text_a: n texts.
        text_b: n texts.

    Returns:
        (n,) int64 of group numbers from 0, by first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = _key_ids(text_a, text_b)
    size = int(max(a.max(), b.max())) + 1 if len(a) else 0
    if not size:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, first, group = np.unique(component[a], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[group]


def independent_groups(group: ArrayLike) -> float:
    """How many groups of equal size would carry as much: n squared over the sum of the squared sizes (Kish).

    Args:
        group: (n,) integers from 0.
    """
    sizes = np.bincount(np.asarray(group, dtype=np.int64))
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def warn_of_dependence(table: PairTable) -> None:
    """Warn of pairs that share texts: bounds that take pairs for independent are too high on them.

    Args:
        table: The pairs that precisions and their bounds rest on.
    """
    independent = independent_groups(text_groups(table.text_a, table.text_b))
    if independent < INDEPENDENT * len(table):
        warn(
            f"{table.source}: {len(table)} pairs count as about {independent:.0f} independent ones, since pairs that "
            "share a text speak together. The lower bounds of precisions take all for independent and may be too high."
        )


def _class_counts(table: PairTable, part: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """(parts, classes) int64: the rows of each class in each part, for the classes the table has."""
    classes = (
        np.zeros(len(table), dtype=np.int64) if table.label is None else np.unique(table.label, return_inverse=True)[1]
    )
    width = int(classes.max()) + 1
    return np.bincount(part * width + classes, minlength=parts * width).reshape(parts, width)


def _deal(counts: NDArray[np.int64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The part of each group: the largest first, each to where the classes come nearest to their shares.

    Args:
        counts: (groups, classes) rows of each class in each group.
        shares: (parts,) the share of the rows each part is to get; they add up to 1.
        seed: Decides between groups of the same size.

    Returns:
        (groups,) int64.
    """
    groups = len(counts)
    shuffled = np.random.default_rng(seed).permutation(groups)
    order = shuffled[np.argsort(-counts.sum(1)[shuffled], kind="stable")]
    # Adding g rows to a class that has c of its t wanted raises the chi-square distance, the sum of
    # (c - t)^2 / t, by g (2 (c - t) + g) / t: plain floats, as the groups are small and many.
    wanted = (shares[:, None] * counts.sum(0)).tolist()
    held = [[0.0] * counts.shape[1] for _ in shares]
    part = np.zeros(groups, dtype=np.int64)
    for group, row in zip(order.tolist(), counts[order].tolist(), strict=True):
        cost = [
            sum(g * (2 * (c - t) + g) / t for g, c, t in zip(row, have, want, strict=True))
            for have, want in zip(held, wanted, strict=True)
        ]
        best = cost.index(min(cost))
        part[group] = best
        held[best] = [c + g for c, g in zip(held[best], row, strict=True)]
    return part


def _link(table: PairTable, group: NDArray[np.int64]) -> str:
    """What holds the largest group together, in words."""
    rows = np.flatnonzero(group == np.bincount(group).argmax())
    largest = table.select(rows)
    text, times = Counter([*largest.text_a, *largest.text_b]).most_common(1)[0]
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return (
        f"{len(rows)} of {len(table)} pairs hang together by texts they share "
        f"(most often {shown!r}, {times} times), and a text must not stand on both sides"
    )


def _check_rows(table: PairTable, seed: int, parts: int) -> None:
    if seed < 0:
        raise FlipkdError(f"The seed of a split must not be negative; it is {seed}.")
    if len(table) < parts:
        raise FlipkdError(f"{table.source}: {len(table)} pairs can't be split in {parts}. Bring more pairs.")


def grouped_split(table: PairTable, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a table in two parts that share no text.

    Args:
        table: The pairs; if labelled, both parts keep the balance of the classes as nearly as groups allow.
        fraction: The share of the rows to hold out, above 0 and below 1.
        seed: Decides between groups of the same size; the same seed gives the same split.

    Returns:
        The rows to train on and the rows held out, each (m,) int64 and ascending.

    Raises:
        FlipkdError: If a part would get less than half the rows it should or lack a class that the table
            has: a large group of linked pairs or too few rows make the split impossible.
    """
    if not 0 < fraction < 1:
        raise FlipkdError(f"The share to hold out must lie between 0 and 1; it is {fraction}.")
    _check_rows(table, seed, 2)
    group = text_groups(table.text_a, table.text_b)
    shares = np.asarray([1 - fraction, fraction])
    part = _deal(_class_counts(table, group, int(group.max()) + 1), shares, seed)[group]
    counts = _class_counts(table, part, 2)
    if (counts == 0).any() or (counts.sum(1) < shares * len(table) / 2).any():
        raise FlipkdError(
            f"{table.source}: no fair split that holds out {fraction:.0%}: {_link(table, group)}; it came to "
            f"{counts[0].sum()} and {counts[1].sum()} pairs. Give a file of its own to hold out, "
            "another share, or leave out the texts that link the pairs."
        )
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def folds(table: PairTable, count: int, seed: int) -> NDArray[np.int64]:
    """Deal the pairs in folds that share no text, balanced in rows and classes (docs/method.md section 4).

    Args:
        table: The pairs.
        count: How many folds, at least 2.
        seed: Decides between groups of the same size; the same seed gives the same folds.

    Returns:
        (n,) int64, the fold of each row, from 0.

    Raises:
        FlipkdError: If a fold would get less than half the rows it should or lack a class that the table has.
    """
    if count < 2:
        raise FlipkdError(f"There must be at least 2 folds; {count} were asked for.")
    _check_rows(table, seed, count)
    group = text_groups(table.text_a, table.text_b)
    part = _deal(_class_counts(table, group, int(group.max()) + 1), np.full(count, 1 / count), seed)[group]
    counts = _class_counts(table, part, count)
    if (counts == 0).any() or counts.sum(1).min() < len(table) / count / 2:
        raise FlipkdError(
            f"{table.source}: no {count} fair folds: {_link(table, group)}; they came to "
            f"{' and '.join(map(str, counts.sum(1)))} pairs. "
            "Ask for fewer folds or none, bring more pairs, or leave out the texts that link the pairs."
        )
    if counts.sum(1).max() > 1.25 * len(table) / count:
        warn(f"{table.source}: the folds are uneven, {counts.sum(1).tolist()} pairs: {_link(table, group)}.")
    return part
