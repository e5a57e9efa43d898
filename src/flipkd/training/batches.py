"""Batches of pairs and of texts, each distinct text once, each inside one teacher geometry."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from flipkd.console import track
from flipkd.student.inference import EncodedPairs
from flipkd.student.packing import pack
from flipkd.student.template import Template
from flipkd.teacher.signal import TeacherSignal

_POOL_BATCHES = 8
"""Rows are sorted by length within shuffled pools of this many batches: like lengths in a batch, mixed labels."""

_BLOCK = 5000
"""Texts among which nearest neighbours are looked for."""


class Items(Dataset[int]):
    """Item numbers; what they mean is the collator's business."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


class GroupedBatches:
    """A batch sampler: each batch inside one group, of like lengths, new in every epoch.

    Items of one family, such as pairs with the same first text, come one after another, since what they share is
    computed once in a batch. Which item a batch holds depends on seed and epoch alone, so a resumed run sees the
    same batches.

    Args:
        lengths: (n,) tokens of each item.
        group: (n,) group of each item; a batch never mixes groups.
        batch_size: Items of a batch.
        seed: Of the order.
        family: (n,) family of each item; by default each is one of its own.
        both_orders: Give half of the families as ``item + n``, which stands for the swapped pair.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        group: np.ndarray,
        batch_size: int,
        seed: int,
        *,
        family: np.ndarray | None = None,
        both_orders: bool = False,
    ) -> None:
        items = np.arange(len(lengths)) if family is None else family
        _, self.family = np.unique(items, return_inverse=True)
        self.lengths = np.zeros(int(self.family.max()) + 1, dtype=np.int64)
        np.maximum.at(self.lengths, self.family, lengths)
        self.group = group
        self.batch_size = batch_size
        self.seed = seed
        self.both_orders = both_orders
        self.epoch = 0
        self._process, self._processes = 0, 1

    def deal_out(self, process: int, processes: int) -> None:
        """Give one process its share: whole batches in turn, those of the beginning again where the last round lacks.

        Accelerate would take every batch but the last for a full one, and lose the rounds in which a group's short
        batch comes.

        Args:
            process: Which process this is, from 0.
            processes: How many there are.
        """
        self._process, self._processes = process, processes

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = sum(-(-int((self.group == g).sum()) // self.batch_size) for g in np.unique(self.group))
        return -(-batches // self._processes)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches: list[np.ndarray] = []
        pool_size = self.batch_size * _POOL_BATCHES
        rank = rng.permutation(len(self.lengths))[self.family]
        for g in np.unique(self.group):
            rows = np.flatnonzero(self.group == g)
            rows = rows[np.argsort(rank[rows], kind="stable")]
            for start in range(0, len(rows), pool_size):
                pool = rows[start : start + pool_size]
                pool = pool[np.lexsort((rank[pool], self.lengths[self.family[pool]]))]
                batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        swapped = rng.integers(0, 2, len(self.lengths)) if self.both_orders else np.zeros_like(self.lengths)
        order = np.resize(rng.permutation(len(batches)), len(self) * self._processes)
        for i in order[self._process :: self._processes]:
            yield (batches[i] + len(self.group) * swapped[self.family[batches[i]]]).tolist()


def neighbour_groups(vectors: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Put texts into groups of near neighbours, since among random texts there is little to learn.

    Args:
        vectors: (n, d) float32 unit rows of the teacher.
        size: Texts of a group; the last may be smaller.
        seed: Of the texts that groups are gathered around.

    Returns:
        (n,) int64 group of each text.
    """
    group = np.full(len(vectors), -1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    number = 0
    for block in track(_blocks(vectors, rng), "neighbours of further texts"):
        free = rng.permutation(block)
        while len(free):
            nearest = np.argsort(-(vectors[free] @ vectors[free[0]]), kind="stable")[:size]
            group[free[nearest]] = number
            free = np.delete(free, nearest)
            number += 1
    return group


def _blocks(vectors: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Parts of at most `_BLOCK` near texts, (n,) rows each: halved again and again at the median along a random line.

    Each group looks through its whole part, so that one part of all texts would take time with their square.
    """
    done, left = [], [np.arange(len(vectors))]
    while left:
        rows = left.pop()
        if len(rows) <= _BLOCK:
            done.append(rows)
            continue
        one, other = vectors[rng.choice(rows, 2, replace=False)]
        along = rows[np.argsort(vectors[rows] @ (one - other), kind="stable")]
        left += np.array_split(along, 2)
    return done


class _Collator:
    """What both stages' batches share: the distinct texts' teacher matrix."""

    def __init__(self, template: Template, pairs: EncodedPairs, signal: TeacherSignal | None) -> None:
        self.template = template
        self.pairs = pairs
        self.signal = signal
        masked = signal is not None and signal.mask_pairs
        self._masked = set(_unordered(pairs.a.tolist(), pairs.b.tolist())) if masked else set()

    def _ids(self, texts: Sequence[int]) -> list[tuple[int, ...]]:
        return [self.pairs.ids[text] for text in texts]

    def _teacher(self, signal: TeacherSignal, distinct: Sequence[int]) -> dict[str, torch.Tensor]:
        """The teacher's cosines between the distinct texts, and which of them may be learnt from.

        After a leak not those of any labelled pair, whichever rows brought its texts together here.
        """
        if signal.vectors is None:
            return {}
        vectors = signal.vectors[np.asarray(distinct)]
        keep = torch.ones(len(distinct), len(distinct), dtype=torch.bool)
        if self._masked:
            for i, j in combinations_with_replacement(range(len(distinct)), 2):
                if (min(distinct[i], distinct[j]), max(distinct[i], distinct[j])) in self._masked:
                    keep[i, j] = keep[j, i] = False
        return {"teacher": torch.from_numpy(vectors @ vectors.T), "keep": keep}


def _unordered(left: Iterable[int], right: Iterable[int]) -> Iterator[tuple[int, int]]:
    return ((min(a, b), max(a, b)) for a, b in zip(left, right, strict=True))


class KnownLabels:
    """Which unordered pairs of texts are labelled anywhere in the training pairs.

    Args:
        pairs: The pairs.
        label: (n,) 0 or 1. Two texts that are labelled both ways count as not labelled.
    """

    def __init__(self, pairs: EncodedPairs, label: np.ndarray) -> None:
        self._label: dict[tuple[int, int], int] = {}
        for ends, y in zip(_unordered(pairs.a.tolist(), pairs.b.tolist()), label.tolist(), strict=True):
            self._label[ends] = y if self._label.get(ends, y) == y else -1

    def matrix(self, left: Sequence[int], right: Sequence[int], label: np.ndarray) -> torch.Tensor:
        """(N, N) int64: the label of every left text with every right one, -1 if there is none.

        Args:
            left: (N,) texts.
            right: (N,) texts.
            label: (N,) of the pairs themselves, for the diagonal.
        """
        known = [[self._label.get((min(a, b), max(a, b)), -1) for b in right] for a in left]
        found = torch.tensor(known)
        return found.diagonal_scatter(torch.as_tensor(label, dtype=found.dtype))


class PairCollator(_Collator):
    """Joint batches. Items 0 to n-1 are the pairs, n to 2n-1 the same pairs swapped.

    A batch is a dict: ``packed``, the student's batch of the distinct texts and the pairs; ``label`` (N,) float32;
    ``rows`` (N,) int64 row numbers; and with a signal ``left`` and ``right`` (N,) the
    pairs' places among the distinct texts, ``pair_teacher`` (N,) T_ii, ``soft`` (N,) the teacher's probability of a
    match, ``teacher`` and ``keep`` (M, M), and with known labels ``known`` (N, N), those of every left text with every
    right one.
    """

    def __init__(
        self,
        template: Template,
        pairs: EncodedPairs,
        label: np.ndarray,
        signal: TeacherSignal | None,
        known: KnownLabels | None = None,
    ) -> None:
        super().__init__(template, pairs, signal)
        self.label = label
        self.known = known

    def __call__(self, items: list[int]) -> dict[str, Any]:
        """Collate the items of one batch."""
        n = len(self.label)
        rows = [item % n for item in items]
        a, b = self.pairs.a, self.pairs.b
        ends = [
            (int(a[r]), int(b[r])) if item < n else (int(b[r]), int(a[r])) for item, r in zip(items, rows, strict=True)
        ]
        distinct = list(dict.fromkeys(text for pair in ends for text in pair))
        where = {text: place for place, text in enumerate(distinct)}
        left, right = [where[x] for x, _ in ends], [where[y] for _, y in ends]
        batch: dict[str, Any] = {
            "packed": pack(
                self.template,
                self._ids(distinct),
                list(zip(left, right, strict=True)),
                "none" if self.signal is None else "all",
            ),
            "label": torch.tensor(self.label[rows], dtype=torch.float32),
            "rows": torch.tensor(rows),
        }
        if self.signal is None:
            return batch
        if self.known is not None:
            batch["known"] = self.known.matrix([x for x, _ in ends], [y for _, y in ends], self.label[rows])
        similarity = self.signal.pair_similarity[rows]
        return batch | {
            "left": torch.tensor(left),
            "right": torch.tensor(right),
            "pair_teacher": torch.from_numpy(similarity),
            "soft": torch.from_numpy(self.signal.probability(similarity, self.signal.geometry[a[rows]])),
            **self._teacher(self.signal, distinct),
        }


class TextCollator(_Collator):
    """Warm-up batches. Items 0 to n-1 are the two texts of a pair, n and up the further texts one by one.

    A batch is a dict: ``packed``, the student's batch of the distinct texts; ``teacher`` and ``keep`` (M, M);
    ``rows`` (N,) the item numbers.
    """

    def __call__(self, items: list[int]) -> dict[str, Any]:
        """Collate the items of one batch."""
        assert self.signal is not None
        n = len(self.pairs.a)
        in_pairs = int(max(self.pairs.a.max(), self.pairs.b.max())) + 1
        texts: list[int] = []
        for item in items:
            texts += [int(self.pairs.a[item]), int(self.pairs.b[item])] if item < n else [in_pairs + item - n]
        distinct = list(dict.fromkeys(texts))
        return {
            "packed": pack(self.template, self._ids(distinct), []),
            "rows": torch.tensor(items),
            **self._teacher(self.signal, distinct),
        }
