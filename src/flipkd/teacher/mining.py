"""Further pairs for the decoder, with the teacher's probability in the place of a label (our reading)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipkd.teacher.signal import TeacherSignal

NEIGHBOURS = 10
"""Each text is paired with this many others at most."""
_CHUNK = 1024


# eq=False: arrays in a generated __eq__ raise.
@dataclass(frozen=True, eq=False)
class Mined:
    """Pairs of texts that nobody has labelled."""

    a: NDArray[np.int64]
    """(n,) row in `TeacherSignal.texts` of the first text."""
    b: NDArray[np.int64]
    """(n,) of the second."""
    similarity: NDArray[np.float32]
    """(n,) T."""
    probability: NDArray[np.float32]
    """(n,) the teacher's calibrated probability of a match."""


def mine(signal: TeacherSignal, a: NDArray[np.int64], b: NDArray[np.int64], count: int, seed: int) -> Mined:
    """Draw near neighbours by the teacher's vectors, as many likely matches as unlikely ones where there are.

    Random pairs would all be non-matches, and easy ones. Candidates are each text's nearest others of its geometry;
    pairs that are labelled are left out.

    Args:
        signal: The teacher's vectors.
        a: (m,) row of the first text of each labelled pair.
        b: (m,) of the second.
        count: How many to draw; fewer are given if there are not as many.
        seed: Of the draw and of which text comes first.
    """
    assert signal.vectors is not None, "a pair-only teacher has no neighbours"
    rng = np.random.default_rng(seed)
    labelled = _keys(a, b, len(signal.texts))
    found = [_neighbours(signal.vectors, np.flatnonzero(signal.geometry == g)) for g in np.unique(signal.geometry)]
    left, right, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    keys, first = np.unique(_keys(left, right, len(signal.texts)), return_index=True)
    kept = first[~np.isin(keys, labelled)]
    left, right, similarity = left[kept], right[kept], similarity[kept]
    probability = signal.probability(similarity, signal.geometry[left])
    likely, unlikely = (rng.permutation(np.flatnonzero(side)) for side in (probability >= 0.5, probability < 0.5))
    # Half and half; where one side has less, the other fills up.
    matches = min(len(likely), max(count // 2, count - len(unlikely)))
    chosen = np.concatenate([likely[:matches], unlikely[: count - matches]])
    swap = rng.integers(0, 2, len(chosen)).astype(bool)
    left, right = left[chosen], right[chosen]
    return Mined(np.where(swap, right, left), np.where(swap, left, right), similarity[chosen], probability[chosen])


def _keys(a: NDArray[np.int64], b: NDArray[np.int64], texts: int) -> NDArray[np.int64]:
    """One number an unordered pair."""
    return np.minimum(a, b) * texts + np.maximum(a, b)


def _neighbours(
    vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Each row with its nearest others among `rows`, a chunk at a time."""
    own = vectors[rows]
    count = min(NEIGHBOURS, len(rows) - 1)
    left, right, similarity = [], [], []
    for start in range(0, len(rows) if count > 0 else 0, _CHUNK):
        cosine = own[start : start + _CHUNK] @ own.T
        at = np.arange(len(cosine))
        cosine[at, at + start] = -np.inf
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        left.append(np.repeat(rows[start : start + _CHUNK], count))
        right.append(rows[nearest].ravel())
        similarity.append(np.take_along_axis(cosine, nearest, axis=1).ravel())
    if not left:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(left), np.concatenate(right), np.concatenate(similarity)
