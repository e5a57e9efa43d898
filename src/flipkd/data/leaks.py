"""Pairs that two splits have in common, exactly or nearly: what was learnt from one is no news in the other."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flipkd.data.identity import text_key
from flipkd.data.relabel import Listed, listed
from flipkd.data.table import PairTable

Kind = Literal["same pair", "swapped pair", "near pair", "near text"]
KINDS: tuple[Kind, ...] = ("same pair", "swapped pair", "near pair", "near text")
"""The worst first."""
GRAM = 3
"""Characters of the pieces that texts are compared by."""
BLOCK = 256
"""Texts compared at once with all of the other split."""

Near = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Leak:
    """A pair of one split and what it has in common with a pair of another."""

    kind: Kind
    row: int
    """Of the one split."""
    other: int
    """Of the other."""
    closeness: float
    """Jaccard overlap of the texts that differ most; 1 where all are the same."""
    contradicts: bool
    """Whether the two are labelled otherwise; of no meaning for near texts."""


def find_leaks(table: PairTable, other: PairTable, near: float) -> list[Leak]:
    """For each pair of a split the worst it has in common with another split.

    Texts are the same if `text_key` says so, and near if the three-character pieces of their keys overlap enough.
    Texts that are the same, but in different pairs, are no leak by themselves here: `flipkd data check --against`
    counts them.

    Args:
        table: Labelled pairs, such as test.
        other: Labelled pairs, such as train.
        near: The Jaccard overlap from which two texts are near, above 0 and up to 1.

    Returns:
        At most one a pair of `table`: the same pair and the swapped one first, contradictions before others of their
        kind, then by closeness.
    """
    keys = {text: text_key(text) for text in (*table.texts(), *other.texts())}
    mine, theirs = ([(keys[a], keys[b]) for a, b in _pairs(each)] for each in (table, other))
    holding: dict[str, list[int]] = defaultdict(list)
    for row, pair in enumerate(theirs):
        for key in dict.fromkeys(pair):
            holding[key].append(row)
    close = near_texts(sorted({key for pair in mine for key in pair}), sorted(holding), near)
    label, other_label = table.require_labels(), other.require_labels()
    found = []
    for row, pair in enumerate(mine):
        leaks = [
            Leak(kind, row, at, closeness, bool(label[row] != other_label[at]))
            for kind, at, closeness in _candidates(pair, theirs, holding, close)
        ]
        if leaks:
            found.append(min(leaks, key=_badness))
    return sorted(found, key=_badness)


def _pairs(table: PairTable) -> Iterator[tuple[str, str]]:
    return zip(table.text_a, table.text_b, strict=True)


def _badness(leak: Leak) -> tuple[int, bool, float, int, int]:
    return KINDS.index(leak.kind), not leak.contradicts, -leak.closeness, leak.row, leak.other


def _candidates(
    pair: tuple[str, str], theirs: Sequence[tuple[str, str]], holding: dict[str, list[int]], close: Near
) -> Iterator[tuple[Kind, int, float]]:
    """What one pair has in common with each pair of the other split that holds a text close to its own."""
    of_a, of_b = close.get(pair[0], {}), close.get(pair[1], {})
    for key, closeness in of_a.items():
        for row in holding[key]:
            c, d = theirs[row]
            for swapped, partner in ((False, d if c == key else None), (True, c if d == key else None)):
                if partner is None or partner not in of_b:
                    continue
                least = min(closeness, of_b[partner])
                yield ("near pair" if least < 1 else "swapped pair" if swapped else "same pair"), row, least
    for nearest in (of_a, of_b):
        for key, closeness in nearest.items():
            if closeness < 1:
                yield "near text", holding[key][0], closeness


def describe_leak(table: PairTable, other: PairTable, leak: Leak, number: int) -> list[Listed]:
    """A leak as two lines of a list for relabelling, one of either file, so that either can be dropped or mended.

    Args:
        table: As for `find_leaks`.
        other: Likewise.
        leak: One that it found.
        number: Of the leak, the same on both lines.
    """
    rows = ((table, leak.row), (other, leak.other))
    places = [f"{each.source}, line {each.line[row]}" for each, row in rows]
    says = "; the labels differ" if leak.contradicts and leak.kind != "near text" else ""
    close = "" if leak.closeness == 1 else f", closeness {leak.closeness:.2f}"
    return [
        listed(each, row, f"{leak.kind} as {place}{close}{says}", {"leak": str(number)})
        for (each, row), place in zip(rows, reversed(places), strict=True)
    ]


def near_texts(left: Sequence[str], right: Sequence[str], near: float) -> Near:
    """Texts of one side that are the same as, or near to, texts of the other.

    Args:
        left: Distinct texts, as `text_key` gives them.
        right: Likewise.
        near: The Jaccard overlap of their three-character pieces from which they are near.

    Returns:
        By text of the left the texts of the right and the overlap, 1 only for equal texts; texts without any are
        left out. Shorter texts than three characters are near to none but their equal.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    found: Near = {text: {text: 1.0} for text in set(left) & set(right)}
    pieces = HashingVectorizer(
        analyzer="char", ngram_range=(GRAM, GRAM), lowercase=False, binary=True, norm=None, alternate_sign=False
    )
    a, b = pieces.transform(left), pieces.transform(right)
    size_a, size_b = (np.asarray(side.sum(axis=1)).ravel() for side in (a, b))
    for start in range(0, len(left), BLOCK):
        shared = (a[start : start + BLOCK] @ b.T).tocoo()
        rows, columns = shared.row + start, shared.col
        overlap = shared.data / (size_a[rows] + size_b[columns] - shared.data)
        for at in np.flatnonzero(overlap >= near).tolist():
            one, other = left[rows[at]], right[columns[at]]
            if one != other:
                # Different texts may be made of the same pieces.
                found.setdefault(one, {})[other] = min(float(overlap[at]), 0.999)
    return found
