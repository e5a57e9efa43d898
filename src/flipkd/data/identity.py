"""When a text is empty, and when two texts count as the same."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence

UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode categories of characters that show nothing: control, format and separator characters."""
BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}
"""Characters of other categories that show nothing alone: fillers, empty Braille, and what chooses a variant."""


def is_empty(text: str) -> bool:
    """Whether a text shows nothing: no characters, or only white space, control and zero-width ones."""
    if text[:1].isascii() and text[:1].isalnum():
        return False
    return all(unicodedata.category(character) in UNSEEN or character in BLANK for character in text)


def text_key(text: str) -> str:
    """What two texts must share to count as the same across splits.

    NFKC, then casefolded, then without white space: ``"Pay ＢＩＬＬ"`` and ``"pay bill "`` are the same.
    """
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def pair_keys(text_a: Sequence[str], text_b: Sequence[str]) -> list[str]:
    """What names each pair whatever its order: 16 hexadecimal digits of a SHA-256 over the keys of both texts."""
    both = (sorted((text_key(a), text_key(b))) for a, b in zip(text_a, text_b, strict=True))
    return [texts_digest(keys)[:16] for keys in both]


def texts_digest(texts: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) of texts in their order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
