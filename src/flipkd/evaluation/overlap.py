"""Word overlap: what a matcher must beat to have learnt anything."""

import re
from collections.abc import Callable

import numpy as np

from flipkd.data.table import PairTable

_WORD = re.compile(r"\w+")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def overlap(table: PairTable) -> np.ndarray:
    """Jaccard overlap of the two texts of each pair.

    Of lower-case words; where most pairs hold Chinese characters, of characters and pairs of neighbouring characters.

    Args:
        table: The pairs.

    Returns:
        (n,) float64 from 0 to 1; two texts without a word overlap by 0.
    """
    chinese = sum(bool(_CHINESE.search(text)) for text in table.text_a) > len(table) / 2
    units: Callable[[str], frozenset[str]] = _characters if chinese else _words
    made = {text: units(text) for text in table.texts()}
    pairs = ((made[a], made[b]) for a, b in zip(table.text_a, table.text_b, strict=True))
    return np.array([len(a & b) / max(len(a | b), 1) for a, b in pairs])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _characters(text: str) -> frozenset[str]:
    kept = "".join(character for character in text.lower() if character.isalnum())
    return frozenset(kept) | {kept[i : i + 2] for i in range(len(kept) - 1)}
