"""Vectors of texts that come again, kept in bounded memory."""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

LIMIT = 32_768
"""Texts that are kept: about 30 MB at 96 numbers a vector and 40 tokens a text."""


class VectorCache:
    """Keeps the vectors of the texts that were asked for last.

    Args:
        limit: The most texts it keeps.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def read(
        self, ids: Sequence[tuple[int, ...]], compute: Callable[[list[tuple[int, ...]]], np.ndarray]
    ) -> np.ndarray:
        """The vectors of texts, of which only those that are not kept are computed.

        Args:
            ids: Token ids of n texts.
            compute: Gives the (m, d) float32 vectors of m texts, as `Reader.vectors` does.

        Returns:
            (n, d) float32.
        """
        keys = [array("i", text).tobytes() for text in ids]
        new = [row for row, key in enumerate(keys) if key not in self._kept]
        fresh = compute([ids[row] for row in new])
        found = np.empty((len(keys), fresh.shape[1]), dtype=np.float32)
        found[new] = fresh
        for row in set(range(len(keys))).difference(new):
            found[row] = self._kept[keys[row]]
        for row, key in enumerate(keys):
            if key not in self._kept:
                # A copy, since a view would keep the whole array alive.
                self._kept[key] = found[row].copy()
            self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return found
