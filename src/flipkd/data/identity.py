"""When a text is empty, and when two texts count as the same."""

import unicodedata

UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode categories of characters that show nothing: control, format and separator characters."""


def is_empty(text: str) -> bool:
    """Whether a text shows nothing: no characters, or only white space, control and zero-width ones."""
    if text[:1].isalnum():
        return False
    return all(unicodedata.category(character) in UNSEEN for character in text)


def text_key(text: str) -> str:
    """What two texts must share to count as the same across splits.

    NFKC, then casefolded, then without white space: ``"Pay ＢＩＬＬ"`` and ``"pay bill "`` are the same.
    """
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
