"""The pairs that are measured on: the demo's, which every checkout has, and the research sets, which may be absent."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import ROOT
from flipkd.console import announce
from flipkd.data.reader import read_pairs
from flipkd.data.table import PairTable

DEMO = ROOT / "demo" / "banking77"


def demo_pairs(*, split: str = "train") -> PairTable:
    """The pairs of the demo: few of them share a text."""
    return read_pairs(str(DEMO / f"{split}.csv"))


def token_lengths(tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """(n,) int64 tokens of each text."""
    return np.array([len(ids) for ids in tokenizer(list(texts), add_special_tokens=False).input_ids], dtype=np.int64)


def like_batches(tokenizer: Any, pairs: PairTable, batches: int, size: int = 32) -> PairTable:
    """What a few batches hold when a long table is grouped by length: a short one would make the peers pad more.

    Args:
        tokenizer: Counts the tokens.
        pairs: The long table.
        batches: How many, spread evenly over the lengths.
        size: Pairs of a batch.
    """
    lengths = token_lengths(tokenizer, pairs.text_a) + token_lengths(tokenizer, pairs.text_b)
    order = np.argsort(lengths, kind="stable")
    starts = [int((place + 0.5) / batches * len(order)) - size // 2 for place in range(batches)]
    return pairs.select(np.concatenate([order[max(0, start) :][:size] for start in starts]))


def disjoint_pairs() -> PairTable:
    """Pairs of the demo no two of which share a text."""
    pairs = demo_pairs()
    seen: set[str] = set()
    rows = []
    for row, (a, b) in enumerate(zip(pairs.text_a, pairs.text_b, strict=True)):
        if a != b and not {a, b} & seen:
            seen |= {a, b}
            rows.append(row)
    return pairs.select(rows)


def like_texts(tokenizer: Any, groups: int) -> PairTable:
    """32 pairs a group that share no text, all texts of a group of like length, as a long list grouped by it has."""
    pairs = disjoint_pairs()
    a, b = token_lengths(tokenizer, pairs.text_a), token_lengths(tokenizer, pairs.text_b)
    return like_batches(tokenizer, pairs.select(abs(a - b) <= 1), groups)


def present(data: Path | None, name: str, claim: str) -> bool:
    """Whether a research set is there; says why a claim is left out where it is not."""
    if data is None:
        announce(claim, "left out", f"it needs the data set {name}; give its parent folder with --data")
        return False
    if not (data / name).is_dir():
        announce(claim, "left out", f"there is no {data / name}")
        return False
    return True


def records(file: Path) -> list[dict[str, Any]]:
    """The objects of a gzipped file of JSON lines."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def table(rows: Sequence[dict[str, Any]], source: str) -> PairTable:
    """Records with text_a, text_b and label as a table."""
    label = np.array([row["label"] for row in rows], dtype=np.int64)
    places = list(range(1, len(rows) + 1))
    return PairTable([row["text_a"] for row in rows], [row["text_b"] for row in rows], label, source, places, {})


def research_pairs(data: Path, name: str, *, split: str = "test") -> PairTable:
    """The pairs of a research set."""
    return table(records(data / name / f"{split}.jsonl.gz"), name)


def families(data: Path, queries: int, *, split: str = "train") -> PairTable:
    """Every pair of the first queries of banking77: one of the same intent, a look-alike and a random one each."""
    rows = records(data / "banking77" / f"{split}.jsonl.gz")
    chosen = set(list(dict.fromkeys(row["text_a"] for row in rows))[:queries])
    return table([row for row in rows if row["text_a"] in chosen], "banking77")


def cut(tokenizer: Any, texts: Sequence[str], tokens: int) -> list[str]:
    """The texts, shortened to so many tokens, so that each side reads the same words to the end."""
    found = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        found.append(text if len(ids) <= tokens else tokenizer.decode(ids[:tokens]))
    return found
