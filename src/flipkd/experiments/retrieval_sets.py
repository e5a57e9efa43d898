"""The public retrieval sets: entries, queries by split, graded judgements."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from flipkd.console import announce
from flipkd.data.delimited import delimited_records
from flipkd.data.identity import is_empty, text_key
from flipkd.data.jsonl import jsonl_records
from flipkd.errors import FlipkdError
from flipkd.experiments.sets import SPLITS

CHUNK = 2048
"""Records read at once."""


@dataclass(frozen=True)
class RetrievalSet:
    """A retrieval set and how an entry becomes a text.

    Of two ways to make the text, that one is taken which BM25 ranks better for the training queries, so that nothing is
    held against a weaker floor than need be. The items of a StackFAQ thread share their question and differ in the
    answer alone; a COVID item has one answer, whose words mislead (NDCG@10 for the training queries .62 with it, .80
    without).
    """

    name: str
    """The folder under the data folder, and the ``set`` of a cell."""
    domain: str
    """What the texts are about, for the table."""
    file: str
    """Where the entries are."""
    fields: tuple[str, ...]
    """Fields of an entry that make its text, one a line; a list's strings are joined."""
    student: str = "smollm2-135m"
    """The LLM."""
    teacher: str = "minilm"
    """The small encoder that is fine-tuned."""
    families: bool = False
    """Queries hang together by the entries that are relevant to them, since they rephrase a few questions."""


RETRIEVAL_SETS = {
    each.name: each
    for each in (
        RetrievalSet("nfcorpus", "health, en", "corpus.jsonl.gz", ("title", "text")),
        RetrievalSet("stackfaq", "web apps FAQ, en", "faq.jsonl.gz", ("question", "answer"), families=True),
        RetrievalSet("covid_faq", "health FAQ, en", "faq.jsonl.gz", ("questions",), families=True),
    )
}


# eq=False: an array in a generated __eq__ raises.
@dataclass(frozen=True, eq=False)
class Queries:
    """The queries of one split, each with an entry at least that is relevant to it."""

    ids: list[str]
    """As the set names them."""
    texts: list[str]
    """Their texts."""
    grades: NDArray[np.int8]
    """(queries, entries): 0 for an entry that is not relevant or was not judged, else its grade."""

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: NDArray[np.int64]) -> "Queries":
        """The queries of the given rows, in the given order."""
        order = rows.tolist()
        return Queries([self.ids[row] for row in order], [self.texts[row] for row in order], self.grades[rows])

    def groups(self) -> NDArray[np.int64]:
        """(queries,) numbers of groups: queries hang together by an entry that is relevant to both, or by others."""
        relevant = csr_array((self.grades > 0).astype(np.int64))
        group: NDArray[np.int64] = connected_components(relevant @ relevant.T, directed=False)[1].astype(np.int64)
        return group

    def sample(self, most: int | None) -> "Queries":
        """At most so many queries, always the same ones, in their order; `None` for all."""
        return self.select(np.sort(np.random.default_rng(0).permutation(len(self))[:most]))


@dataclass(frozen=True, eq=False)
class Collection:
    """The entries of a set, and its queries."""

    name: str
    """Of the set."""
    ids: list[str]
    """Of the entries."""
    texts: list[str]
    """Of the entries, in the order of their file."""
    queries: dict[str, Queries]
    """By split."""

    @cached_property
    def digest(self) -> str:
        """Names the content: entries, queries and judgements."""
        state = hashlib.sha256(json.dumps([self.ids, self.texts]).encode())
        for split, queries in self.queries.items():
            state.update(json.dumps([split, queries.ids, queries.texts]).encode())
            state.update(queries.grades.tobytes())
        return state.hexdigest()[:12]


def read_collection(retrieval_set: RetrievalSet, data: Path) -> Collection:
    """Read a set.

    Queries without a relevant entry are left out, as trec_eval leaves them out; so are queries whose text is in a later
    split too (NFCorpus has some), since they would be learnt from and then measured on.

    Args:
        retrieval_set: Which.
        data: The folder with a folder a set: ``<set>/queries.jsonl.gz`` (``id``, ``text``, ``split``), the entries, and
            ``<set>/qrels_<split>.tsv.gz`` (``query_id``, ``doc_id``, ``grade``).

    Raises:
        FlipkdError: If a file is missing or malformed, an id comes twice, or a judgement names an unknown query or
            entry.
    """
    folder = data / retrieval_set.name
    entries = _texts(folder / retrieval_set.file, retrieval_set.fields)
    ids = list(entries)
    asked = folder / "queries.jsonl.gz"
    texts = _texts(asked, ("text",))
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for line, (query, split) in _records(asked, ("id", "split")):
        if split not in splits:
            raise FlipkdError(f"{asked}, line {line}: the split is {split!r}; it must be one of {', '.join(SPLITS)}.")
        splits[split].append(query)
    queries: dict[str, Queries] = {}
    later: set[str] = set()
    for split in reversed(SPLITS):
        known = splits[split]
        grades = _grades(folder / f"qrels_{split}.tsv.gz", known, ids)
        keys = [text_key(texts[query]) for query in known]
        judged, again = (grades > 0).any(axis=1), np.array([key in later for key in keys], dtype=bool)
        if (judged & again).any():
            announce(f"{retrieval_set.name}, {split}", f"{(judged & again).sum()} queries left out", "in a later split")
        if not (judged & ~again).any():
            raise FlipkdError(f"{folder}: no {split} query has a relevant entry. Check queries.jsonl.gz and the qrels.")
        later.update(keys)
        queries[split] = Queries(known, [texts[query] for query in known], grades).select(
            np.flatnonzero(judged & ~again)
        )
    return Collection(retrieval_set.name, ids, list(entries.values()), {split: queries[split] for split in SPLITS})


def _grades(file: Path, queries: list[str], entries: list[str]) -> NDArray[np.int8]:
    row, column = ({name: number for number, name in enumerate(names)} for names in (queries, entries))
    grades = np.zeros((len(queries), len(entries)), dtype=np.int8)
    for line, (query, entry, grade) in _records(file, ("query_id", "doc_id", "grade")):
        if query not in row:
            raise FlipkdError(f"{file}, line {line}: there is no query {query!r} in this split of queries.jsonl.gz.")
        if entry not in column:
            raise FlipkdError(f"{file}, line {line}: there is no entry {entry!r}. Take the judgement out.")
        if not (grade.isdecimal() and int(grade) <= np.iinfo(np.int8).max):
            raise FlipkdError(f"{file}, line {line}: the grade is {grade!r}; it must be a whole number from 0 to 127.")
        grades[row[query], column[entry]] = int(grade)
    return grades


def _texts(file: Path, fields: tuple[str, ...]) -> dict[str, str]:
    """Texts by id, in the order of the file."""
    found: dict[str, str] = {}
    for line, (name, *parts) in _records(file, ("id", *fields)):
        text = "\n".join(" ".join(part) if isinstance(part, list) else part for part in parts)
        if is_empty(text):
            raise FlipkdError(f"{file}, line {line}: the text of {name!r} is empty. Leave it out.")
        if name in found:
            raise FlipkdError(f"{file}, line {line}: the id {name!r} was there already. Ids must differ.")
        found[name] = text
    return found


def _records(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Line and cells of the columns, record by record: strings, or lists of strings."""
    if not file.is_file():
        raise FlipkdError(
            f"There is no {file}. flipkd does not ship this data set: docs/how-to/reproduce.md says where it comes "
            "from and in which form it is read."
        )
    is_tsv = file.name.endswith(".tsv.gz")
    opened = (
        delimited_records(str(file), None, CHUNK, delimiter="\t") if is_tsv else jsonl_records(str(file), None, CHUNK)
    )
    with opened as records:
        missing = [column for column in columns if column not in records.header]
        if missing:
            raise FlipkdError(f"{file}: no {', '.join(missing)} in it; it has {', '.join(records.header)}.")
        wanted = [records.header.index(column) for column in columns]
        for batch in records.batches:
            for line, *cells in zip(batch.places, *(batch.columns[at] for at in wanted), strict=True):
                for column, cell in zip(columns, cells, strict=True):
                    strings = cell if isinstance(cell, list) else [cell]
                    if not all(isinstance(string, str) for string in strings):
                        raise FlipkdError(f"{file}, line {line}: {column} is {cell!r}; it must be a string.")
                yield line, tuple(cells)
