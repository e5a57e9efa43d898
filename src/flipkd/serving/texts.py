"""From a request's fields to rows: pairs of texts, checked. Pure functions."""

from collections.abc import Sequence

from flipkd.data.identity import is_empty
from flipkd.serving.errors import Refused

Texts = str | list[str]
Row = tuple[str, ...]
"""What is computed for one answer: the two texts of a pair, or one text."""


def broadcast(first: Texts, second: Texts, names: tuple[str, str]) -> list[tuple[str, str]]:
    """Pairs from two fields: one text is held against each of a list, two lists of one length are zipped.

    Args:
        first: A text or a list of texts; these become text a.
        second: Likewise, text b.
        names: What the fields are called, for the message.

    Raises:
        Refused: If a list is empty, or two lists have different lengths.
    """
    left, right = ([texts] if isinstance(texts, str) else texts for texts in (first, second))
    for name, texts in zip(names, (left, right), strict=True):
        if not texts:
            raise Refused(400, f"{name} is empty: give at least one text.", param=name, code="empty")
    if len(left) == 1:
        left = left * len(right)
    elif len(right) == 1:
        right = right * len(left)
    if len(left) != len(right):
        raise Refused(
            400,
            f"{names[0]} has {len(left)} texts and {names[1]} has {len(right)}: give two lists of one length, or a "
            "single text against a list.",
            param=names[1],
            code="lengths_differ",
        )
    return list(zip(left, right, strict=True))


def check_limits(rows: Sequence[Row], *, max_rows: int, max_characters: int, param: str) -> None:
    """Refuse too many rows, and texts that are too long, blank or no Unicode.

    Raises:
        Refused: Names the row, never the text.
    """
    if len(rows) > max_rows:
        raise Refused(
            400, f"{len(rows)} rows are too many: at most {max_rows} a request.", param=param, code="too_many_rows"
        )
    first = {text: number for number, row in reversed(list(enumerate(rows))) for text in row}
    for text, number in sorted(first.items(), key=lambda item: item[1]):  # a text of a thousand rows is looked at once
        if len(text) > max_characters:
            raise Refused(
                400,
                f"Row {number} has a text of {len(text)} characters: at most {max_characters}.",
                param=param,
                code="text_too_long",
            )
        if not (text.isascii() or _is_unicode(text)):
            raise Refused(400, f"Row {number} has half a surrogate pair.", param=param, code="invalid_text")
        if is_empty(text):
            raise Refused(400, f"Row {number} has an empty text: leave it out.", param=param, code="empty_text")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written; JSON can escape what cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
