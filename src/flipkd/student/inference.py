"""Read many pairs and texts with a student: each distinct text and pair once, without padding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from flipkd.console import track
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.student.model import Student, StudentOutput
from flipkd.student.packing import Packed, pack, to_device


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs as indices into their distinct texts, and those texts as token ids.

    Attributes:
        ids: Token ids of each distinct text, in order of first appearance, then of any further texts.
        a: (n,) int64, the first text of each pair.
        b: (n,) int64, the second.
    """

    ids: list[tuple[int, ...]]
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def of(
        cls, student: Student, text_a: Sequence[str], text_b: Sequence[str], *, counted: bool = True
    ) -> "EncodedPairs":
        """Encode each distinct text once; `counted` as for `flipkd.student.template.Template.encode_texts`."""
        texts = list(dict.fromkeys(text for pair in zip(text_a, text_b, strict=True) for text in pair))
        where = {text: i for i, text in enumerate(texts)}
        return cls(
            ids=student.template.encode_texts(student.tokenizer, texts, counted=counted),
            a=np.array([where[text] for text in text_a], dtype=np.int64),
            b=np.array([where[text] for text in text_b], dtype=np.int64),
        )

    def swapped(self) -> "EncodedPairs":
        """The same pairs with a and b exchanged."""
        return EncodedPairs(ids=self.ids, a=self.b, b=self.a)


@dataclass(frozen=True)
class Signals:
    """What a student says of pairs.

    Attributes:
        log_odds: (n,) float64, the decoder's log p(match) - log p(no match).
        similarity: (n,) float64, the encoder's cosine.
        vectors: (texts, d) float32 unit rows, the distinct texts in the pairs' numbering.
    """

    log_odds: np.ndarray
    similarity: np.ndarray
    vectors: np.ndarray


PADDED = 16
"""See `pair_batches`."""


def text_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts in batches of like length, longest first, each of at most `budget` tokens.

    Args:
        lengths: Tokens of each text.
        budget: One text longer than it makes a batch of its own.
    """
    batch: list[int] = []
    used = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and used + lengths[i] > budget:
            yield batch
            batch, used = [], 0
        batch.append(i)
        used += lengths[i]
    if batch:
        yield batch


def pair_batches(pairs: np.ndarray, lengths: Sequence[int], around: int, budget: int) -> Iterator[list[int]]:
    """Indices of pairs in batches of like length, those that begin with one text together: it is computed once.

    Args:
        pairs: (n, 2) int64 texts.
        lengths: Tokens of each text.
        around: Tokens of the template that stand in every pair behind its first text.
        budget: Tokens of a batch; one pair longer than it makes a batch of its own. The attention pads the pairs of
            a batch to the longest of them, so pairs times longest stays below `PADDED` budgets.
    """
    ends: list[tuple[int, int]] = [(a, b) for a, b in pairs.tolist()]
    # A text's pairs stand where the longest of them would, since the attention pads to the longest of a batch.
    reach: dict[int, int] = {}
    for a, b in ends:
        reach[a] = max(reach.get(a, 0), lengths[a] + lengths[b])
    batch: list[int] = []
    used = longest = 0
    for i in sorted(range(len(ends)), key=lambda i: (-reach[ends[i][0]], ends[i][0], -lengths[ends[i][1]])):
        a, b = ends[i]
        cost = around + lengths[b] + (0 if batch and ends[batch[-1]][0] == a else lengths[a])
        path = around + lengths[a] + lengths[b]
        if batch and (used + cost > budget or (len(batch) + 1) * max(longest, path) > PADDED * budget):
            yield batch
            batch, used, longest, cost = [], 0, 0, path
        batch.append(i)
        used, longest = used + cost, max(longest, path)
    if batch:
        yield batch


class Reader:
    """Reads pairs and texts in token-budget batches.

    Args:
        student: Put into evaluation mode while it is read.
        batch_tokens: Tokens of a batch.
        progress: What to call the progress bar; `None` shows none.

    Whatever is read is finite: a `FlipkdError` is raised where it is not.
    """

    def __init__(self, student: Student, *, batch_tokens: int = 1024, progress: str | None = None) -> None:
        self.student = student
        self.batch_tokens = batch_tokens
        self.progress = progress

    def _run(
        self, batches: Iterator[list[int]], pack_batch: Callable[[list[int]], Packed], what: str
    ) -> Iterator[tuple[list[int], StudentOutput]]:
        todo = list(batches)
        shown = track(todo, f"{self.progress}, {what}") if self.progress is not None and len(todo) > 1 else todo
        was_training = self.student.training
        self.student.eval()
        try:
            with torch.inference_mode():
                for batch in shown:
                    output = self.student(to_device(pack_batch(batch), self.student.device))
                    if not all(part is None or part.isfinite().all() for part in output):
                        raise FlipkdError(
                            "The student answers NaN or infinity: its weights are damaged, or its numbers too large "
                            f"for {next(self.student.parameters()).dtype}. Nothing of it is kept."
                        )
                    yield batch, output
        finally:
            self.student.train(was_training)

    def log_odds(self, pairs: EncodedPairs) -> np.ndarray:
        """(n,) float64 log-odds of the pairs; nothing is computed for the vectors."""
        return self._pairs(pairs, "none")[0]

    def vectors(self, ids: Sequence[tuple[int, ...]]) -> np.ndarray:
        """(n, d) float32 unit vectors of the texts, from the layers up to the last site."""
        template = self.student.template
        found = np.zeros((len(ids), self.student.width), dtype=np.float32)
        batches = text_batches([len(text) for text in ids], self.batch_tokens)
        for batch, output in self._run(batches, lambda batch: pack(template, [ids[i] for i in batch], []), "texts"):
            found[batch] = output.vectors.cpu().numpy()  # type: ignore[union-attr]
        return found

    def signals(self, pairs: EncodedPairs) -> Signals:
        """Log-odds and similarity of the pairs; a text that stands as a gets its vector from the pair's pass."""
        log_odds, first = self._pairs(pairs, "first")
        rest = [text for text in range(len(pairs.ids)) if text not in first]
        vectors = np.zeros((len(pairs.ids), self.student.width), dtype=np.float32)
        for text, vector in first.items():
            vectors[text] = vector
        vectors[rest] = self.vectors([pairs.ids[i] for i in rest])
        similarity = np.einsum("nd,nd->n", vectors[pairs.a], vectors[pairs.b], dtype=np.float64)
        return Signals(log_odds, similarity, vectors)

    def _pairs(
        self, pairs: EncodedPairs, vectors: Literal["first", "none"]
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        template = self.student.template
        distinct, back = np.unique(np.stack([pairs.a, pairs.b], axis=1), axis=0, return_inverse=True)
        log_odds = np.zeros(len(distinct))
        first: dict[int, np.ndarray] = {}

        def pack_batch(batch: list[int]) -> Packed:
            texts = list(dict.fromkeys(distinct[batch].flatten().tolist()))
            where = {text: place for place, text in enumerate(texts)}
            ends = [(where[a], where[b]) for a, b in distinct[batch].tolist()]
            return pack(template, [pairs.ids[text] for text in texts], ends, vectors)

        batches = pair_batches(
            distinct,
            [len(ids) for ids in pairs.ids],
            len(template.middle) + len(template.suffix),
            self.batch_tokens,
        )
        for batch, output in self._run(batches, pack_batch, "pairs"):
            log_odds[batch] = output.log_odds.double().cpu().numpy()
            if output.vectors is not None:
                begun = dict.fromkeys(distinct[batch, 0].tolist())
                first.update(zip(begun, output.vectors.cpu().numpy(), strict=True))
        return log_odds[back.reshape(-1)], first


def read_signals(student: Student, table: PairTable, *, progress: str | None = None) -> Signals:
    """Log-odds and similarity of a table's pairs, in its order."""
    return Reader(student, progress=progress).signals(EncodedPairs.of(student, table.text_a, table.text_b))
