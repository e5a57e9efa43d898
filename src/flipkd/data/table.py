"""The table of text pairs that every later step starts from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flipkd.errors import FlipkdError


# eq=False: an array in a generated __eq__ raises; two tables are compared by their digest.
@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairs of texts, with or without labels, in the order of their source.

    Texts are exactly what the source holds: nothing is trimmed, folded or converted.
    """

    text_a: list[str]
    """The first text of each pair."""
    text_b: list[str]
    """The second text of each pair."""
    label: NDArray[np.int64] | None
    """(n,) int64, 1 for a match and 0 for none; None for an unlabelled table."""
    source: str
    """The file or data set the pairs came from, as the user named it."""
    line: list[int]
    """Where each pair starts: 1-based line of a text file, 1-based row of a parquet file or data set."""
    extra: dict[str, list[str]]
    """Every other column by its name in the source, in the order of the header."""

    def __len__(self) -> int:
        return len(self.text_a)

    def select(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "PairTable":
        """The table of the given rows, in the given order.

        Args:
            rows: Row numbers from 0, repeats allowed, or a boolean mask of shape (n,).
        """
        chosen = np.asarray(rows)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        order = np.arange(len(self))[chosen].tolist()
        return replace(
            self,
            text_a=[self.text_a[row] for row in order],
            text_b=[self.text_b[row] for row in order],
            label=None if self.label is None else self.label[order],
            line=[self.line[row] for row in order],
            extra={name: [values[row] for row in order] for name, values in self.extra.items()},
        )

    def texts(self) -> list[str]:
        """The distinct texts, a's and b's together, in order of first appearance row by row."""
        pairs = zip(self.text_a, self.text_b, strict=True)
        return list(dict.fromkeys(text for pair in pairs for text in pair))

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the texts and labels in their order.

        The name of the source, its lines and the extra columns have no part in it, so a cache keyed by it
        is reused when a file is moved or touched, and is not when one row changes.
        """
        state = hashlib.sha256()
        for side in (self.text_a, self.text_b):
            encoded = [text.encode() for text in side]
            # The lengths come first, or ("ab", "c") and ("a", "bc") would be one.
            state.update(np.asarray([len(self), *map(len, encoded)], dtype="<i8").tobytes())
            state.update(b"".join(encoded))
        state.update(b"unlabelled" if self.label is None else self.label.astype("<i8").tobytes())
        return state.hexdigest()

    def require_labels(self) -> NDArray[np.int64]:
        """The labels, (n,) int64.

        Raises:
            FlipkdError: If the table has none.
        """
        if self.label is None:
            raise FlipkdError(
                f"{self.source}: this step needs labels and the pairs have none. "
                "Add a column named label that holds 0 or 1."
            )
        return self.label
