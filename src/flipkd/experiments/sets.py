"""The public pair sets of the main table, and the sample that is drawn of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.data.reader import read_pairs
from flipkd.data.splits import text_groups
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PairSet:
    """A pair set and how much of it is used."""

    name: str
    """The folder under the data folder, and the ``set`` of a cell."""
    domain: str
    """What the pairs are about, for the table."""
    student: str
    """The LLM."""
    teacher: str
    """The small encoder that is fine-tuned: `minilm`, or `characters`, which flipkd trains from nothing."""
    directed: bool = False
    """The order of a and b has a meaning."""
    families: bool = False
    """Pairs hang together by their first text alone, since the second is one of a list that all share."""
    rows: tuple[int, int, int] = (600, 300, 1000)
    """At most this many pairs of train, validation and test."""


PINNED: dict[str, dict[str, Any]] = {
    "smollm2-135m": {"adapt_layers": 14, "warmup_learning_rate": 1e-3, "learning_rate": 2e-3},
    "gemma3-270m": {"adapt_layers": 8, "warmup_learning_rate": 1.9e-4, "learning_rate": 3.8e-4},
}
"""By student what `auto` takes on a CPU, so that neither a GPU nor another rule changes what a cell's settings name."""

FURTHER = 2000
"""How many texts of training pairs outside the sample the warm-up reads, without labels, beside those of the pairs."""
WARM_UP_PASSES = 4.0
"""Over those and the texts of the pairs."""

_ENGLISH = ("smollm2-135m", "minilm")
_CHINESE = ("gemma3-270m", "characters")

PAIR_SETS = {
    pair_set.name: pair_set
    for pair_set in (
        PairSet("mqp", "health, en", *_ENGLISH),
        PairSet("rqe", "health, en", *_ENGLISH, directed=True),
        PairSet("banking77", "finance, en", *_ENGLISH),
        PairSet("mrpc", "news, en", *_ENGLISH),
        PairSet("atec", "finance, zh", *_CHINESE),
        PairSet("ths_faq", "finance FAQ, zh", *_CHINESE, families=True),
        PairSet("covid_zh", "health, zh", *_CHINESE),
    )
}


def groups(pair_set: PairSet, pairs: PairTable) -> np.ndarray:
    """Which pairs are no independent observations, since they share a text, at once or by way of others.

    Args:
        pair_set: The set; of one with `PairSet.families` the first text alone counts.
        pairs: n pairs of it.

    Returns:
        (n,) int64 of group numbers.
    """
    return text_groups(pairs.text_a, pairs.text_a if pair_set.families else pairs.text_b)


@dataclass(frozen=True)
class Sample:
    """The pairs of one set that every method and seed sees."""

    train: PairTable
    validation: PairTable
    test: PairTable
    test_rows: np.ndarray
    """(n,) int64: the rows of the test file, from 0, that were drawn."""
    unlabelled: list[str]
    """Further training texts, whose labels nobody reads; in no pair above, letter by letter."""

    @property
    def further(self) -> list[str]:
        """Those of the warm-up: `FURTHER` of them, or all."""
        return fixed_sample(self.unlabelled, FURTHER)

    @property
    def digest(self) -> str:
        """The first 12 digits of a SHA-256 over the texts and labels of the three tables."""
        digests = "".join(table.digest() for table in (self.train, self.validation, self.test))
        return hashlib.sha256(digests.encode()).hexdigest()[:12]


def draw(pair_set: PairSet, data: Path, *, unlabelled: int = 0) -> Sample:
    """Read a set and draw its sample, the same for every method and seed.

    Args:
        pair_set: Which.
        data: The folder with a folder a set: ``<set>/{train,validation,test}.jsonl.gz``.
        unlabelled: Further texts to draw from the rest of the training file.

    Raises:
        FlipkdError: If a file is missing or cannot be read.
    """
    drawn: dict[str, PairTable] = {}
    rows: dict[str, np.ndarray] = {}
    whole: dict[str, PairTable] = {}
    for split, most in zip(SPLITS, pair_set.rows, strict=True):
        file = data / pair_set.name / f"{split}.jsonl.gz"
        if not file.is_file():
            raise FlipkdError(
                f"There is no {file}. flipkd does not ship this data set: docs/how-to/reproduce.md says where it "
                "comes from and in which form it is read. Leave the set out with --only."
            )
        whole[split] = read_pairs(str(file))
        rows[split] = np.sort(np.random.default_rng(0).permutation(len(whole[split]))[:most])
        drawn[split] = whole[split].select(rows[split])
    known = {text for table in drawn.values() for text in table.texts()}
    known |= {text for split in ("validation", "test") for text in whole[split].texts()}
    further = [text for text in whole["train"].texts() if text not in known]
    return Sample(drawn["train"], drawn["validation"], drawn["test"], rows["test"], fixed_sample(further, unlabelled))


def fixed_sample(texts: Sequence[str], most: int) -> list[str]:
    """At most so many of the texts, always the same ones, in their order."""
    return [texts[number] for number in np.sort(np.random.default_rng(0).permutation(len(texts))[:most])]
