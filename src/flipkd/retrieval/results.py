"""What an index answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipkd.matching.results import MatchResult
from flipkd.retrieval.entries import Entry


@dataclass(frozen=True)
class Hit:
    """An entry that the first stage found, and what is said of it."""

    entry: Entry
    """The entry."""
    similarity: float
    """Cosine of its vector and the query's, in [-1, 1], whichever first stage found it."""
    logit: float
    """The decoder's log-odds of a match; NaN where the answer never asks the decoder."""
    probability: float
    """Calibrated probability that it matches the query."""
    match: bool
    """Whether the probability reaches the threshold."""
    decision: str | None = None
    """`accept`, `review` or `reject` where the threshold policy has bands, else None."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the first stage found for a query: entries that wait to be verified."""

    query: str
    """The query."""
    entries: tuple[Entry, ...]
    """The n entries, in the first stage's own order."""
    pairs: list[tuple[str, str]]
    """n pairs of texts, what is matched; the sides as the artefact was trained."""
    similarity: NDArray[np.float64]
    """(n,) float64 cosines of the query's vector and the entries'."""


@dataclass(frozen=True)
class Found:
    """The answer to a query."""

    query: str
    """The query."""
    hits: tuple[Hit, ...]
    """The best entries by falling probability, of one probability by falling similarity."""
    candidates: tuple[str, ...]
    """Ids of all entries that the first stage found, in its own order."""

    @property
    def answer(self) -> Hit | None:
        """The best entry, or `None`, "no answer", where it is no match by the policy in force.

        With bands, an entry for review is no answer; it is the first hit.
        """
        return self.hits[0] if self.hits and self.hits[0].match else None


def verified(found: Candidates, said: Sequence[MatchResult], top: int) -> Found:
    """The hits of a query, the best first.

    Args:
        found: What the first stage found.
        said: What the artefact says of each of its n pairs, in their order.
        top: How many hits to keep at most.

    Returns:
        At most `top` hits, by falling probability, of one probability by falling similarity.
    """
    order = sorted(range(len(said)), key=lambda at: (-said[at].probability, -found.similarity[at]))
    hits = tuple(Hit(found.entries[at], **vars(said[at])) for at in order[:top])
    return Found(found.query, hits, tuple(entry.id for entry in found.entries))


@dataclass(frozen=True)
class Change:
    """What became of entries that were put into an index."""

    added: int = 0
    """Were not there."""
    updated: int = 0
    """Were there with another text: embedded anew."""
    rewritten: int = 0
    """Were there with the same text and other columns: written, with the vector they had."""
    unchanged: int = 0
    """Were there as they are: not touched."""

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.added + other.added,
            self.updated + other.updated,
            self.rewritten + other.rewritten,
            self.unchanged + other.unchanged,
        )

    def __str__(self) -> str:
        rewritten = f"{self.rewritten} rewritten with the vector they had, " if self.rewritten else ""
        return f"{self.added} added, {self.updated} updated, {rewritten}{self.unchanged} unchanged"
