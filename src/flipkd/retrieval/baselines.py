"""What an artefact's order is held against: the words alone, and its teacher alone."""

from collections.abc import Sequence
from pathlib import Path

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.index import QUERIES
from flipkd.retrieval.metrics import DEPTH, ranked
from flipkd.retrieval.store import Store
from flipkd.teacher.teacher import Teacher


def baseline_teacher(
    matcher: Matcher, name: str | None, *, device: str | None = None, cache_dir: Path | None = None
) -> Teacher | None:
    """The teacher that is measured alone, and why, which is printed.

    Args:
        matcher: The artefact, whose kept teacher is taken where none is named.
        name: Another one, as for `Teacher.load`.
        device: Where a named one computes.
        cache_dir: Where its vectors are kept.

    Returns:
        A bi-encoder, or None where none is named and the artefact keeps none, or a cross-encoder.

    Raises:
        FlipkdError: If the named one can't be loaded, or is a cross-encoder.
    """
    if name is not None:
        teacher = Teacher.load(name, device=device, cache_dir=cache_dir)
        if teacher.kind == "cross":
            raise FlipkdError(
                f"The teacher {name!r} is a cross-encoder: it has no vectors to search by. Name a bi-encoder."
            )
        own = teacher.revision == matcher.spec.teacher.revision
        announce(
            "teacher alone", name, f"as asked; {'the one' if own else 'not the one'} that this artefact learnt from"
        )
        return teacher
    if matcher.teacher is None:
        announce("teacher alone", "not measured", "the artefact holds no teacher; name one with --teacher")
        return None
    if matcher.teacher.kind == "cross":
        announce("teacher alone", "not measured", "the artefact's teacher is a cross-encoder, which has no vectors")
        return None
    announce("teacher alone", matcher.spec.teacher.name, "the artefact holds it")
    return matcher.teacher


def bm25_order(store: Store, queries: Sequence[str]) -> list[list[str]]:
    """Ids of the first entries by BM25, for each query; fewer where it finds no more."""
    found: list[list[str]] = []
    for start in range(0, len(queries), QUERIES):
        some = store.candidates(queries[start : start + QUERIES], None, "bm25", DEPTH)
        found += [[row.entry.id for row in rows] for rows in some]
    return found


def teacher_order(store: Store, teacher: Teacher, queries: Sequence[str]) -> list[list[str]]:
    """Ids of the first entries by the cosine of the teacher's vectors, over all entries, for each query.

    Args:
        store: The entries. Those of one cosine are taken in the order of their ids.
        teacher: A bi-encoder.
        queries: The queries.
    """
    entries = sorted((row.entry.id, row.text) for row in store)
    distinct = {text: number for number, text in enumerate(dict.fromkeys(text for _, text in entries))}
    # One call, so that a query which is an entry's text is encoded once, too.
    vectors = teacher.vectors([*distinct, *queries])
    known, asked = vectors[: len(distinct)], vectors[len(distinct) :]
    # Entries of one text are to tie, and a product of matrices may round its columns differently.
    column = [distinct[text] for _, text in entries]
    found: list[list[str]] = []
    for start in range(0, len(queries), QUERIES):
        cosine = (asked[start : start + QUERIES] @ known.T)[:, column]
        found += [[entries[at][0] for at in best] for best in ranked(cosine, DEPTH).tolist()]
    return found
