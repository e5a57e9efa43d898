"""Queries whose right entries are known, and the files they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flipkd.console import warn
from flipkd.data.columns import parted_otherwise, places_of
from flipkd.data.identity import is_empty
from flipkd.data.reader import open_records
from flipkd.errors import FlipkdError

Names = Mapping[str, tuple[str, ...]]

QUERIES: Names = {
    "id": ("id", "_id", "query_id", "query-id", "qid"),
    "text": ("text", "query", "question"),
    "split": ("split",),
}
"""Names of the columns of queries in any case; the first that is there counts."""
QRELS: Names = {
    "query_id": ("query_id", "query-id", "qid"),
    "doc_id": ("doc_id", "corpus-id", "entry_id", "faq_id"),
    "grade": ("grade", "score", "relevance"),
}
"""Names of the columns of judgements, likewise."""


@dataclass(frozen=True)
class Judged:
    """Queries and the grades of entries, as judged."""

    texts: list[str]
    """The queries."""
    grades: list[dict[str, int]]
    """Of each query: grades above 0 by entry id. None: no entry answers it."""


def read_judged(
    queries: str, qrels: str, *, split: str | None = None, encoding: str | None = None, delimiter: str | None = None
) -> Judged:
    """Read queries and judgements.

    Args:
        queries: A table with an id, a text, and a split if one is chosen; see `QUERIES` for the names of its columns.
        qrels: A table of query, entry and grade, see `QRELS`. Judgements of queries that are not in `queries` count as
            a fault; queries that are in none are warned of.
        split: Which queries to take; by default all.
        encoding: The encoding of both files, where it is not found by itself.
        delimiter: The one character between the cells of both; by default a comma in a CSV and a tab in a TSV.

    Raises:
        FlipkdError: If a file can't be read, a column is missing, an id or a judgement comes twice, an id is
            unknown, or a grade is no whole number; with file and line.
    """
    texts: dict[str, str] = {}
    others: set[str] = set()
    wanted = ("id", "text") if split is None else ("id", "text", "split")
    for line, cells in _rows(queries, {role: QUERIES[role] for role in wanted}, encoding, delimiter):
        name, text = cells[:2]
        if name in texts or name in others:
            raise FlipkdError(f"{queries}, line {line}: the id {name!r} was there already. Ids must differ.")
        if is_empty(text):
            raise FlipkdError(f"{queries}, line {line}: the query is empty. Leave it out.")
        if split is not None and cells[2] != split:
            others.add(name)
        else:
            texts[name] = text
    if not texts:
        raise FlipkdError(f"{queries}: no query in it{'' if split is None else f' of the split {split!r}'}.")
    grades: dict[str, dict[str, int]] = {name: {} for name in texts}
    judged: set[tuple[str, str]] = set()
    for line, (query, entry, grade) in _rows(qrels, QRELS, encoding, delimiter):
        if query not in texts and query not in others:
            raise FlipkdError(f"{qrels}, line {line}: there is no query {query!r} in {queries}.")
        if not (grade.isdecimal() and int(grade) <= np.iinfo(np.int8).max):
            raise FlipkdError(f"{qrels}, line {line}: the grade is {grade!r}; it must be a whole number from 0 to 127.")
        if (query, entry) in judged:
            raise FlipkdError(f"{qrels}, line {line}: {entry!r} is judged for {query!r} a second time. Leave one out.")
        judged.add((query, entry))
        if query in texts and int(grade):
            grades[query][entry] = int(grade)
    unseen = len(texts.keys() - {query for query, _ in judged})
    if unseen:
        warn(
            f"{qrels}: {unseen} of {len(texts)} queries are not in it, and count as queries that no entry answers. If "
            "nobody has looked for their answers, leave them out."
        )
    return Judged(list(texts.values()), list(grades.values()))


def _rows(file: str, names: Names, encoding: str | None, delimiter: str | None) -> list[tuple[int, tuple[str, ...]]]:
    """Line and cells of the columns, in the order of the names."""
    found: list[tuple[int, tuple[str, ...]]] = []
    with open_records(file, encoding, delimiter=delimiter) as records:
        at = places_of(records.header, names)
        missing = [role for role in names if role not in at]
        if missing:
            mend = "Rename what is meant."
            if parted_otherwise(records.header):
                mend = "The cells seem to be parted by another character: name it, --delimiter."
            raise FlipkdError(f"{file}: no column {', '.join(missing)}; it has {', '.join(records.header)}. {mend}")
        for batch in records.batches:
            for line, *cells in zip(batch.places, *(batch.columns[at[role]] for role in names), strict=True):
                found.append((line, tuple("" if cell is None else str(cell) for cell in cells)))
    return found
