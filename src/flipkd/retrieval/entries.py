"""The entries of a FAQ, and the file they come from."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from flipkd.console import announce
from flipkd.data.chunks import as_written
from flipkd.data.columns import parted_otherwise, places_of
from flipkd.data.identity import is_empty
from flipkd.data.reader import open_records
from flipkd.errors import FlipkdError

NAMES = {
    "id": ("id", "entry_id", "faq_id", "doc_id"),
    "question": ("question", "text", "query", "title"),
    "answer": ("answer", "reply", "response"),
}
"""Names of the columns in any case; the first that is there counts."""


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Entry:
    """An entry of a FAQ."""

    id: str
    """Its name: no two entries of an index have the same."""
    question: str
    """What is matched with a query."""
    answer: str = ""
    """What is replied, if there is something."""
    extra: dict[str, str] = field(default_factory=dict)
    """Further columns by name."""

    def text(self, with_answer: bool) -> str:
        """What is embedded and matched: the question, or question and answer on a line each."""
        return f"{self.question}\n{self.answer}" if with_answer and self.answer else self.question


def content_hash(text: str) -> str:
    """SHA-256 (hexadecimal) of what is embedded, by which an unchanged entry is known."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_entries(entries: Sequence[Entry], source: str | None = None, lines: Sequence[int] | None = None) -> None:
    """Check that all are strings, that ids differ and can be looked up, and that no id or question is empty.

    Args:
        entries: The entries.
        source: The file they came from, for errors.
        lines: Where each stands in it.

    Raises:
        FlipkdError: With the place of the first fault.
    """
    where = [f"entry {number}" for number in range(1, len(entries) + 1)]
    if lines is not None:
        where = [f"{source}, line {line}" for line in lines]
    seen: dict[str, str] = {}
    for place, entry in zip(where, entries, strict=True):
        for name, value in (("id", entry.id), ("question", entry.question), ("answer", entry.answer)):
            if not isinstance(value, str):
                raise FlipkdError(f"{place}: the {name} is {value!r}; it must be a string.")
        if _CONTROL.search(entry.id):
            raise FlipkdError(
                f"{place}: the id {entry.id!r} has a control character, which the engine cannot look up. Take it out."
            )
        if is_empty(entry.id) or is_empty(entry.question):
            what = "id" if is_empty(entry.id) else "question"
            raise FlipkdError(f"{place}: the {what} is empty. Fill it, or take the entry out.")
        if entry.id in seen:
            if entry.id == _made_id(entry.question):
                raise FlipkdError(f"{place}: the question is that of {seen[entry.id]} too. Drop one, or give both ids.")
            raise FlipkdError(f"{place}: the id {entry.id!r} is that of {seen[entry.id]} too. Ids must differ.")
        seen[entry.id] = place


def read_entries(
    path: str, *, columns: dict[str, str] | None = None, encoding: str | None = None, delimiter: str | None = None
) -> list[Entry]:
    """Read a FAQ.

    Args:
        path: A file or data set, as for `flipkd.data.reader.iter_pairs`.
        columns: Names of the columns for ``id``, ``question`` and ``answer`` where they are not in `NAMES`. Without
            ids, an entry's id is made of a hash of its question. All other columns are kept beside the entry.
        encoding: The encoding of a text file, where it is not found by itself.
        delimiter: The one character between the cells of a CSV or TSV; by default a comma or a tab.

    Raises:
        FlipkdError: If the file can't be read, has no question, an id comes twice, or an id or question is empty;
            with file and line.
    """
    entries: list[Entry] = []
    lines: list[int] = []
    with open_records(path, encoding, delimiter=delimiter) as records:
        at = _columns(records.header, columns or {}, path)
        announce("columns", ", ".join(f"{records.header[place]} -> {role}" for role, place in at.items()), path)
        if "id" not in at:
            announce("ids", "a hash of each question", f"{path} has no column named {', '.join(NAMES['id'])}")
        others = {name: place for place, name in enumerate(records.header) if place not in at.values()}
        for batch in records.batches:
            for line, *cells in zip(batch.places, *batch.columns, strict=True):
                part = {role: _text(cells[at[role]], path, line, records.header[at[role]]) for role in at}
                extra = {name: as_written(_there(cells[place])) for name, place in others.items()}
                question = part["question"]
                name = part["id"] if "id" in part else _made_id(question)
                entries.append(Entry(name, question, part.get("answer", ""), extra))
                lines.append(line)
    if not entries:
        raise FlipkdError(f"{path}: no entry in it, only column names.")
    check_entries(entries, path, lines)
    return entries


def _columns(header: Sequence[str], named: dict[str, str], source: str) -> dict[str, int]:
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise FlipkdError(f"{source}: more than one column is named {', '.join(map(repr, twice))}. Rename or drop one.")
    unknown = sorted(set(named) - set(NAMES))
    missing = [name for name in named.values() if name not in header]
    if unknown or missing:
        raise FlipkdError(
            f"{source}: columns are named for id, question and answer, and must be there; got {named}. "
            f"The columns are {', '.join(map(repr, header))}."
        )
    at = places_of(header, NAMES) | {role: list(header).index(name) for role, name in named.items()}
    found = {role: at[role] for role in NAMES if role in at}
    if "question" not in found:
        mend = "Name it: --columns.question NAME."
        if parted_otherwise(header):
            mend = "The cells seem to be parted by another character: name it, --delimiter."
        raise FlipkdError(
            f"{source}: no column is named {', '.join(NAMES['question'])}. "
            f"The columns are {', '.join(map(repr, header))}. {mend}"
        )
    if len(set(found.values())) < len(found):
        raise FlipkdError(f"{source}: one column is named for two uses: {named}.")
    return found


def _made_id(question: str) -> str:
    """The id of an entry that has none."""
    return content_hash(question)[:16]


def _there(cell: Any) -> Any:
    """A cell, or None where it is missing, which data frames write as NaN."""
    return None if isinstance(cell, float) and isnan(cell) else cell


def _text(cell: Any, source: str, line: int, column: str) -> str:
    cell = _there(cell)
    if cell is None or isinstance(cell, str | int | float):
        return as_written(cell)
    raise FlipkdError(f"{source}, line {line}: column {column!r} holds {cell!r}, which is no text. Make it a string.")
