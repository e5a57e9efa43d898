"""What a table of pairs holds, and what in it will hurt."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from flipkd.data.identity import is_empty, text_key
from flipkd.data.table import PairTable
from flipkd.shown import in_terminal

EXAMPLES = 5
"""How many contradictions are listed with their lines."""
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters, but for tab and line ends."""
ZERO_WIDTH = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
"""Characters without width: joiners and variants (also those inside emoji), direction marks, soft hyphens."""


@dataclass(frozen=True)
class Lengths:
    """Token counts of the texts on one side, over the rows."""

    minimum: int
    median: float
    p95: float
    maximum: int


@dataclass(frozen=True)
class Truncation:
    """What a cap on the tokens of a text cuts."""

    max_text_tokens: int
    texts: int
    """Distinct texts longer than the cap."""
    share: float
    """Their share of the distinct texts, 0 to 1."""
    rows: int
    """Pairs of which at least one text is longer."""


@dataclass(frozen=True)
class Shared:
    """Texts that this table has in common with another split."""

    texts: int
    """Distinct texts (as `text_key` tells them apart) in both."""
    rows: int
    """Pairs of this table with such a text."""
    share: float
    """Their share of the pairs, 0 to 1."""


@dataclass(frozen=True)
class Hidden:
    """Texts that hold characters nobody sees."""

    texts: int
    """Distinct texts."""
    line: int | None
    """Where the first of them stands, line or row; None if there is none."""
    character: str | None
    """The first such character in it, by its number and name: U+200B ZERO WIDTH SPACE."""

    def describe(self, meaning: str) -> str:
        """What it means, and the first place."""
        return f"{meaning}; first in line {self.line}: {self.character}" if self.texts else ""


@dataclass(frozen=True)
class DataReport:
    """Counts over one table; see `check`."""

    source: str
    rows: int
    distinct_texts: int
    matches: int | None
    """Pairs labelled 1; None if unlabelled."""
    non_matches: int | None
    duplicates: int
    """Pairs that repeat an earlier one: the same two texts in either order and the same label."""
    contradictions: int
    """Distinct pairs of texts, in either order, labelled both 0 and 1."""
    contradiction_lines: tuple[tuple[int, int], ...]
    """For some of them, a line labelled 0 and a line labelled 1."""
    identical: int
    """Pairs whose two texts are equal."""
    identical_non_matches: int | None
    """Those of them labelled 0; None if unlabelled."""
    empties: int
    """Pairs with a text that shows no character."""
    control: Hidden
    """Control characters other than tabs and line ends."""
    zero_width: Hidden
    """Characters without width."""
    lengths: dict[str, Lengths] | None
    """Token counts of ``text_a`` and ``text_b``; None without a tokenizer."""
    truncation: Truncation | None
    """None without a tokenizer or a cap."""
    shared: dict[str, Shared]
    """Per other split."""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        """What, how much, and what it means where that is not nought."""
        yield "pairs", f"{self.rows}", ""
        yield "distinct texts", f"{self.distinct_texts}", ""
        if self.matches is not None:
            yield (
                "labels",
                f"{self.matches} match ({self.matches / self.rows:.1%}), {self.non_matches} do not",
                ("" if self.matches and self.non_matches else "one class alone: nothing to train or evaluate with"),
            )
        yield "duplicates", f"{self.duplicates}", "weigh more than once" if self.duplicates else ""
        lines = "; ".join(f"line {zero} says 0, line {one} says 1" for zero, one in self.contradiction_lines)
        yield "contradictions", f"{self.contradictions}", f"decide on one label: {lines}" if lines else ""
        yield (
            "equal texts",
            f"{self.identical}",
            (f"{self.identical_non_matches} of them labelled 0" if self.identical_non_matches else ""),
        )
        yield "empty texts", f"{self.empties}", "fill or remove them" if self.empties else ""
        yield "control characters", f"{self.control.texts} texts", self.control.describe("often a sign of damage")
        yield (
            "zero-width characters",
            f"{self.zero_width.texts} texts",
            self.zero_width.describe("texts that look equal may differ"),
        )
        for side, counts in (self.lengths or {}).items():
            yield (
                f"tokens of {side}",
                (f"{counts.minimum} to {counts.maximum}, median {counts.median:g}, 95 % to {counts.p95:g}"),
                "",
            )
        if cut := self.truncation:
            yield (
                f"cut at {cut.max_text_tokens} tokens",
                f"{cut.texts} texts ({cut.share:.1%})",
                (f"in {cut.rows} pairs; raise max_text_tokens to keep them whole" if cut.texts else ""),
            )
        for name, other in self.shared.items():
            yield (
                f"texts shared with {name}",
                f"{other.texts}",
                (f"in {other.rows} pairs ({other.share:.1%}): a result on them flatters" if other.texts else ""),
            )

    def render(self) -> Table:
        """The report as a table for a rich console."""
        table = Table("", "count", "meaning", title=in_terminal(self.source), title_justify="left")
        for cells in self._lines():
            table.add_row(*map(in_terminal, cells))
        return table


def _contradictions(places: Mapping[tuple[str, str], dict[int, int]]) -> list[tuple[int, int]]:
    """The first line labelled 0 and the first labelled 1, of each pair that has both."""
    return [(lines[0], lines[1]) for lines in places.values() if 0 in lines and 1 in lines]


def _lengths(counts: NDArray[np.int64]) -> Lengths:
    p95 = float(np.percentile(counts, 95))
    return Lengths(int(counts.min()), float(np.median(counts)), p95, int(counts.max()))


def _tokens(
    table: PairTable, texts: Sequence[str], count_tokens: Callable[[list[str]], list[int]], cap: int | None
) -> tuple[dict[str, Lengths], Truncation | None]:
    counted = np.asarray(count_tokens(list(texts)), dtype=np.int64)
    number = {text: place for place, text in enumerate(texts)}
    a, b = (counted[[number[text] for text in side]] for side in (table.text_a, table.text_b))
    lengths = {"text_a": _lengths(a), "text_b": _lengths(b)}
    if cap is None:
        return lengths, None
    long = counted > cap
    rows = int(((a > cap) | (b > cap)).sum())
    return lengths, Truncation(cap, int(long.sum()), float(long.mean()), rows)


def _shared(table: PairTable, keys: Mapping[str, str], other: PairTable) -> Shared:
    common = set(keys.values()) & {text_key(text) for text in other.texts()}
    pairs = zip(table.text_a, table.text_b, strict=True)
    rows = sum(keys[a] in common or keys[b] in common for a, b in pairs)
    return Shared(len(common), rows, rows / len(table))


def _hidden(table: PairTable, texts: Sequence[str], pattern: re.Pattern[str]) -> Hidden:
    holding = {text: found.group() for text in texts if (found := pattern.search(text))}
    if not holding:
        return Hidden(0, None, None)
    rows = zip(table.line, table.text_a, table.text_b, strict=True)
    line, character = next((line, holding[text]) for line, a, b in rows for text in (a, b) if text in holding)
    # Unicode names no control character.
    name = unicodedata.name(character, "CONTROL CHARACTER")
    return Hidden(len(holding), line, f"U+{ord(character):04X} {name}")


def check(
    table: PairTable,
    others: dict[str, PairTable],
    count_tokens: Callable[[list[str]], list[int]] | None,
    max_text_tokens: int | None,
) -> DataReport:
    """Look a table of pairs over.

    Duplicates, contradictions and equal texts go by the exact texts; texts shared with another split by
    `text_key`, as splits are made.

    Args:
        table: At least one pair, as `read_pairs` gives it; with ``empty="keep"`` empty texts are counted too.
        others: Other splits by name, such as ``{"test": ...}``; may be empty.
        count_tokens: From texts to their token counts, without special tokens; called once, with the
            distinct texts. None leaves the lengths out.
        max_text_tokens: The cap on the tokens of each text; None leaves the truncation out.
    """
    texts = table.texts()
    labels = [None] * len(table) if table.label is None else table.label.tolist()
    places: dict[tuple[str, str], dict[Any, int]] = defaultdict(dict)
    for a, b, label, line in zip(table.text_a, table.text_b, labels, table.line, strict=True):
        places[(a, b) if a <= b else (b, a)].setdefault(label, line)
    contradictions = _contradictions(places)
    equal = np.asarray([a == b for a, b in zip(table.text_a, table.text_b, strict=True)])
    blank = {text for text in texts if is_empty(text)}
    pairs = zip(table.text_a, table.text_b, strict=True)
    lengths, truncation = (None, None) if count_tokens is None else _tokens(table, texts, count_tokens, max_text_tokens)
    keys = {text: text_key(text) for text in texts} if others else {}
    return DataReport(
        source=table.source,
        rows=len(table),
        distinct_texts=len(texts),
        matches=None if table.label is None else int(table.label.sum()),
        non_matches=None if table.label is None else int((table.label == 0).sum()),
        duplicates=len(table) - sum(map(len, places.values())),
        contradictions=len(contradictions),
        contradiction_lines=tuple(contradictions[:EXAMPLES]),
        identical=int(equal.sum()),
        identical_non_matches=None if table.label is None else int((equal & (table.label == 0)).sum()),
        empties=sum(a in blank or b in blank for a, b in pairs),
        control=_hidden(table, texts, CONTROL),
        zero_width=_hidden(table, texts, ZERO_WIDTH),
        lengths=lengths,
        truncation=truncation,
        shared={name: _shared(table, keys, other) for name, other in others.items()},
    )
