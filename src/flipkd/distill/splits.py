"""The pairs of a run: read, split where need be, and checked for what training cannot bear."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from flipkd.console import announce, warn
from flipkd.data.identity import pair_keys, text_key, texts_digest
from flipkd.data.reader import read_pairs, read_texts
from flipkd.data.splits import grouped_split
from flipkd.data.table import PairTable
from flipkd.distill.config import DistillConfig
from flipkd.errors import FlipkdError


@dataclass(frozen=True)
class Splits:
    """The pairs of a run.

    Attributes:
        train: Learnt from.
        validation: Thresholds, calibration and the choice of the answer are fitted on it.
        test: Only measured on; `None` if there is none.
        unlabelled: Further texts for the warm-up that are in no split.
    """

    train: PairTable
    validation: PairTable
    test: PairTable | None
    unlabelled: list[str]

    @property
    def tables(self) -> dict[str, PairTable]:
        """The labelled splits there are, by name."""
        tables = {"train": self.train, "validation": self.validation}
        return tables if self.test is None else tables | {"test": self.test}

    @property
    def digests(self) -> dict[str, str]:
        """The content of all that is learnt from or measured on, by name."""
        digests = {name: table.digest() for name, table in self.tables.items()}
        return digests | ({"unlabelled": texts_digest(self.unlabelled)} if self.unlabelled else {})


def read_splits(config: DistillConfig) -> Splits:
    """Read the files of a run, and split validation off where no file is given.

    Raises:
        FlipkdError: If a file cannot be read, a split holds one class only, or two splits are the same pairs.
    """

    def read(file: str) -> PairTable:
        return read_pairs(
            file,
            columns=config.columns,
            encoding=config.encoding,
            delimiter=config.delimiter,
            empty=config.empty,
        )

    train = read(config.train)
    if config.validation is None:
        train, validation = split_validation(train, config.validation_share, config.seed)
    else:
        validation = read(config.validation)
    if config.limit is not None and config.limit < len(train):
        rows = np.sort(np.random.default_rng(config.seed).permutation(len(train))[: config.limit])
        announce("training pairs", f"{config.limit} of {len(train)}", f"--limit, drawn with seed {config.seed}")
        train = train.select(rows)
    test = None if config.test is None else read(config.test)
    splits = Splits(train, validation, test, [])
    for name, table in splits.tables.items():
        label = table.require_labels()
        if len(np.unique(label)) < 2:
            raise FlipkdError(
                f"The {name} pairs ({table.source}) are all labelled {label[0] if len(label) else 'nothing'}; "
                "matches and non-matches are both needed."
            )
    keep_apart(splits.tables)
    if config.unlabelled is None:
        return splits
    known = {text_key(text) for table in splits.tables.values() for text in table.texts()}
    texts = list(dict.fromkeys(read_texts(config.unlabelled, encoding=config.encoding)))
    further = [text for text in texts if text_key(text) not in known]
    announce("unlabelled texts", len(further), f"{len(texts) - len(further)} more are in the pairs already")
    return Splits(train, validation, test, further)


def split_validation(pairs: PairTable, share: float, seed: int) -> tuple[PairTable, PairTable]:
    """Split validation off training pairs where no file is given, said aloud.

    Args:
        pairs: The training pairs.
        share: The share of them that becomes validation.
        seed: Of the split, which shares no text between the sides.

    Raises:
        FlipkdError: If too many pairs hang together by shared texts.
    """
    kept, held_out = grouped_split(pairs, share, seed)
    announce(
        "validation",
        f"{len(held_out)} of {len(pairs)} training pairs",
        "no file was given; the split shares no text with the rest",
    )
    return pairs.select(kept), pairs.select(held_out)


def keep_apart(splits: Mapping[str, PairTable]) -> None:
    """Warn of pairs that share a text with an earlier split.

    Args:
        splits: Pairs by the split's name.

    Raises:
        FlipkdError: If two splits are the same pairs, in whatever order.
    """
    tables = list(splits.items())
    pairs = {name: set(pair_keys(table.text_a, table.text_b)) for name, table in tables}
    for (earlier, before), (later, after) in combinations(tables, 2):
        if pairs[earlier] == pairs[later]:
            raise FlipkdError(
                f"The {earlier} and the {later} pairs are the same ({before.source} and {after.source}): what is "
                f"fitted on one could not be measured on the other. Give other {later} pairs, or none."
            )
        known = {text_key(text) for text in before.texts()}
        also = {text for text in after.texts() if text_key(text) in known}
        shared = sum(a in also or b in also for a, b in zip(after.text_a, after.text_b, strict=True))
        if shared:
            warn(
                f"{shared} of {len(after)} {later} pairs share a text with the {earlier} pairs: their figures flatter."
            )
