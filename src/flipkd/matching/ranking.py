"""One query against many candidates, and a fixed set of entries that many queries are held against."""

from collections.abc import Sequence

import numpy as np

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.model import Student
from flipkd.student.prefixes import Prefixes


class Entries:
    """A fixed set of texts, prepared: vectors, and where it pays keys and values. Made by `Matcher.entries`.

    Args:
        student: The student.
        texts: The entries.
        sources: What the answer uses, see `flipkd.evaluation.answer.Answer`.
        directed: Whether the query has to come first in the prompt.
        query_tokens: How long queries are expected to be.
        limit_gb: The most memory that keys and values may take.
        batch_tokens: Tokens of a batch.

    Raises:
        FlipkdError: If there is no entry, or one is empty.
    """

    def __init__(
        self,
        student: Student,
        texts: Sequence[str],
        *,
        sources: Sequence[str],
        directed: bool,
        query_tokens: int,
        limit_gb: float,
        batch_tokens: int,
    ) -> None:
        if not texts:
            raise FlipkdError("There is no entry to prepare: give at least one text.")
        self.texts = list(texts)
        self.ids = student.template.encode_texts(student.tokenizer, self.texts)
        reads = "encoder" in sources
        self.vectors = Reader(student, batch_tokens=batch_tokens).vectors(self.ids) if reads else None
        self.prefixes: Prefixes | None = None
        mean = float(np.mean([len(ids) for ids in self.ids]))
        if "decoder" not in sources:
            announce("entries", "vectors alone", "the answer never asks the decoder")
        elif directed:
            announce(
                "entries", "no keys kept", "the task is directed: an entry follows the query, and its keys depend on it"
            )
        elif mean <= query_tokens:
            announce(
                "entries", "no keys kept", f"of {mean:.0f} tokens on average, no longer than queries of {query_tokens}"
            )
        else:
            self.prefixes = Prefixes(student, self.ids, limit_bytes=int(limit_gb * 2**30), batch_tokens=batch_tokens)
            each = mean * self.prefixes.bytes_per_token / 2**20
            announce(
                "entries",
                f"keys and values of {self.prefixes.kept} of {len(self.ids)} kept",
                f"{mean:.0f} tokens on average against queries of {query_tokens}; {each:.1f} MB an entry, "
                f"at most {limit_gb:g} GB",
            )

    @property
    def entry_first(self) -> bool:
        """Whether an entry is text a and the query text b; the same for all entries, so that they compare."""
        return self.prefixes is not None

    def log_odds(self, reader: Reader, query: tuple[int, ...]) -> np.ndarray:
        """(n,) float64 log-odds of the entries against a query, in the order of `entry_first`."""
        n = len(self.ids)
        if self.prefixes is None:
            return reader.log_odds(EncodedPairs([query, *self.ids], np.zeros(n, dtype=np.int64), np.arange(1, n + 1)))
        kept = self.prefixes.kept
        found = np.zeros(n)
        found[:kept] = self.prefixes.log_odds(query, range(kept))
        if kept < n:
            rest = n - kept
            pairs = EncodedPairs([query, *self.ids[kept:]], np.arange(1, rest + 1), np.zeros(rest, dtype=np.int64))
            found[kept:] = reader.log_odds(pairs)
        return found
