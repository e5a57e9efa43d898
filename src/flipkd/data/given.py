"""What a caller from Python hands over as texts or pairs: taken if it is, refused if it only iterates like it."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from flipkd.errors import FlipkdError


def given_texts(texts: Iterable[str], what: str = "texts") -> list[str]:
    """Texts as a list.

    A bare text iterates as its characters, a data frame or a dictionary as the names of its columns, and a model would
    answer for those without a word.

    Args:
        texts: A list, tuple, array, column of a data frame or another iterable of texts.
        what: They are, for the error.

    Raises:
        FlipkdError: If it is one text or a table, or an item is no text.
    """
    if isinstance(texts, str | bytes | Mapping) or hasattr(texts, "columns"):
        raise FlipkdError(
            f"{what}: a list of texts is needed, not {_named(texts)}. Give [text], or one column as list."
        )
    listed = list(texts)
    for number, text in enumerate(listed, start=1):
        if not isinstance(text, str):
            raise FlipkdError(
                f"{what}, item {number}: {_named(text)} is no text. Give strings, and leave out what is missing."
            )
    return listed


def given_pairs(pairs: Iterable[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Pairs as two columns of texts.

    Args:
        pairs: Of two texts each: tuples, lists, or rows of an array or a table.

    Raises:
        FlipkdError: If an item is anything else, such as a column's name or a row by name.
    """
    listed = list(pairs)
    for number, pair in enumerate(listed, start=1):
        if isinstance(pair, str | bytes | Mapping | Set) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise FlipkdError(
                f"pairs, item {number}: {_named(pair)} is no pair of two texts. Of a table with columns a and b give "
                'zip(table["a"], table["b"]).'
            )
    return given_texts([a for a, _ in listed], "text a"), given_texts([b for _, b in listed], "text b")


def _named(thing: Any) -> str:
    shown = repr(thing) if isinstance(thing, str | bytes | int | float | None) else ""
    return f"{type(thing).__name__}{f' {shown[:60]}' if shown else ''}"
