"""Words of anyone, made fit to be shown: they say what they say and do nothing."""

import re
import unicodedata

_TURNS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of what stands around them."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$#])")


def in_terminal(text: str) -> str:
    """A text as rich prints it to a terminal: in one line, no markup, and what would steer the terminal in escapes.

    Rich prints a backslash at the very end twice.

    Args:
        text: Of anyone.
    """
    from rich.markup import escape

    return escape("".join(map(_seen, text)))


def _seen(character: str) -> str:
    steers = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _TURNS.match(character)
    return character.encode("unicode_escape").decode() if steers else character


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is, in one line, also in a cell of a table.

    Args:
        text: Of anyone.
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", plain)
