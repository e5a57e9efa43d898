"""Read many pairs and texts with a student: each distinct text and pair once, without padding waste."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flipkd.console import track
from flipkd.data.table import PairTable
from flipkd.student.model import Student
from flipkd.student.padding import Rows, pad, to_device
from flipkd.student.template import Prompt


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
    def of(cls, student: Student, text_a: Sequence[str], text_b: Sequence[str]) -> "EncodedPairs":
        """Encode each distinct text once."""
        texts = list(dict.fromkeys(text for pair in zip(text_a, text_b, strict=True) for text in pair))
        where = {text: i for i, text in enumerate(texts)}
        return cls(
            ids=student.template.encode_texts(student.tokenizer, texts),
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


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, each of at most `budget` padded tokens.

    Args:
        lengths: Tokens of each sequence.
        budget: Rows times longest row of a batch; one row longer than it makes a batch of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class Reader:
    """Reads pairs and texts in token-budget batches.

    Args:
        student: Put into evaluation mode while it is read.
        batch_tokens: Padded tokens of a batch.
        progress: What to call the progress bar; `None` shows none.
        left: Pad on the left instead of the right (the answers are the same; the self-check proves it).
    """

    def __init__(
        self, student: Student, *, batch_tokens: int = 1024, progress: str | None = None, left: bool = False
    ) -> None:
        self.student = student
        self.batch_tokens = batch_tokens
        self.progress = progress
        self.left = left

    def _batches(self, prompts: Sequence[Prompt], what: str) -> Iterator[tuple[list[int], Rows]]:
        batches = list(token_batches([len(prompt.ids) for prompt in prompts], self.batch_tokens))
        if self.progress is not None and len(batches) > 1:
            batches = track(batches, f"{self.progress}, {what}")  # type: ignore[assignment]
        pad_id = self.student.tokenizer.pad_token_id
        for batch in batches:
            rows = pad([prompts[i] for i in batch], pad_id, left=self.left)
            yield batch, to_device(rows, self.student.device)

    def _fill(self, forward: Any, prompts: Sequence[Prompt], what: str) -> None:
        was_training = self.student.training
        self.student.eval()
        try:
            with torch.inference_mode():
                for batch, rows in self._batches(prompts, what):
                    forward(batch, rows)
        finally:
            self.student.train(was_training)

    def log_odds(self, pairs: EncodedPairs) -> np.ndarray:
        """(n,) float64 log-odds of the pairs; nothing is computed for the vectors."""
        return self._pairs(pairs, vectors=False)[0]

    def vectors(self, ids: Sequence[tuple[int, ...]]) -> np.ndarray:
        """(n, d) float32 unit vectors of the texts, from the layers up to the last site."""
        prompts = [self.student.template.alone(text) for text in ids]
        found = np.zeros((len(prompts), self.student.width), dtype=np.float32)

        def forward(batch: list[int], rows: Rows) -> None:
            found[batch] = self.student(texts=rows).vectors.cpu().numpy()

        self._fill(forward, prompts, "texts")
        return found

    def signals(self, pairs: EncodedPairs) -> Signals:
        """Log-odds and similarity of the pairs; a text that stands as a gets its vector from the pair's pass."""
        log_odds, first = self._pairs(pairs, vectors=True)
        rest = sorted(set(pairs.b.tolist()) - first.keys())
        found = first | dict(zip(rest, self.vectors([pairs.ids[i] for i in rest]), strict=True))
        vectors = np.stack([found[text] for text in range(len(pairs.ids))])
        similarity = np.einsum("nd,nd->n", vectors[pairs.a], vectors[pairs.b], dtype=np.float64)
        return Signals(log_odds, similarity, vectors)

    def _pairs(self, pairs: EncodedPairs, *, vectors: bool) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        distinct, back = np.unique(np.stack([pairs.a, pairs.b], axis=1), axis=0, return_inverse=True)
        prompts = [self.student.template.pair(pairs.ids[a], pairs.ids[b]) for a, b in distinct]
        log_odds = np.zeros(len(distinct))
        first: dict[int, np.ndarray] = {}

        def forward(batch: list[int], rows: Rows) -> None:
            output = self.student(pairs=rows, vectors=vectors)
            log_odds[batch] = output.log_odds.double().cpu().numpy()
            if vectors:
                first.update(zip(distinct[batch, 0].tolist(), output.vectors.cpu().numpy(), strict=True))

        self._fill(forward, prompts, "pairs")
        return log_odds[back.reshape(-1)], first


def read_signals(student: Student, table: PairTable, *, progress: str | None = None) -> Signals:
    """Log-odds and similarity of a table's pairs, in its order."""
    return Reader(student, progress=progress).signals(EncodedPairs.of(student, table.text_a, table.text_b))
