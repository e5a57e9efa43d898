"""The learning rates behind the table: as many for fine-tuning as for flipping, compared on held-out pairs."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from flipkd.console import announce, console
from flipkd.data.table import PairTable
from flipkd.evaluation.metrics import measure
from flipkd.evaluation.thresholds import best_threshold
from flipkd.experiments.cells import commit, read_lines, versions
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.grid import set_run, settings_digest, unlabelled
from flipkd.experiments.sets import PAIR_SETS, PairSet, Sample, draw
from flipkd.training.rates import joint_rate

FILE = "learning_rates.jsonl"
FACTORS = (1.0, 0.5, 2.0)
"""Of the rate that `auto` takes."""
HELD_OUT = 300
"""Training pairs that are measured on beside validation, which alone is too small to tell rates apart."""
METHODS: tuple[Literal["fine_tuned_long", "flipped"], ...] = ("fine_tuned_long", "flipped")


@dataclass(frozen=True)
class Rate:
    """One method at one learning rate: a line of ``results/learning_rates.jsonl``."""

    set: str
    """The pair set."""
    method: str
    """`fine_tuned_long` or `flipped`; `fine_tuned` in lines from before the longer one was compared."""
    signal: str
    """What is measured: `decoder`, or `encoder` of a flipped student."""
    rate: float
    """Peak learning rate."""
    seed: int
    """Of adapter, batches and teacher."""
    pairs: int
    """Pairs learnt from."""
    held_out: int
    """Pairs measured on: of the training file, not learnt from, and of validation."""
    f1: float
    """At the best threshold of these very pairs."""
    ap: float
    """Average precision."""
    auc: float
    """Area under the ROC curve."""
    settings: str
    """Names all other settings."""
    commit: str
    """The commit of flipkd."""
    versions: dict[str, str]
    """Of the libraries."""


def compare_rates(config: ReproduceConfig) -> None:
    """Train both methods at every rate on the chosen sets with seed 0, one line each; what is there is not run again.

    Args:
        config: Which sets, and where the results go.

    Raises:
        FlipkdError: If a data set is missing, or a training fails.
    """
    file = Path(config.results) / FILE
    done = {(line.set, line.method, line.rate, line.settings) for line in read_lines(file, Rate)}
    for name in config.pair_sets:
        pair_set = PAIR_SETS[name]
        sample = held_out_sample(pair_set, Path(config.data).expanduser())
        run = set_run(config, pair_set, sample, 0)
        settings = settings_digest(pair_set)
        for factor in FACTORS:
            rate = float(f"{factor * joint_rate(run.config, run.student):.2g}")
            for method in METHODS:
                if (name, method, rate, settings) in done:
                    continue
                console.rule(f"{name}: {method.replace('_', ' ')} at {rate:g}")
                read = run.at_rate(method, rate)
                signals = {"decoder": "log_odds"} | ({"encoder": "similarity"} if method == "flipped" else {})
                lines = [
                    _line(pair_set, method, signal, rate, sample, read[f"validation_{key}"], settings)
                    for signal, key in signals.items()
                ]
                _append(file, lines)
                for line in lines:
                    announce(f"{method} {line.signal}", f"AUC {line.auc:.3f}, AP {line.ap:.3f}", f"at {rate:g}")


def held_out_sample(pair_set: PairSet, data: Path) -> Sample:
    """As many training pairs as the table has; validation, longer by training pairs; one test pair, which is not read.

    None of those training pairs shares a text with one that is learnt from; with `PairSet.families` the first text
    alone counts. The validation pairs are those of the set, as they come.

    Args:
        pair_set: Which set.
        data: The folder of the sets.

    Raises:
        FlipkdError: If a file is missing or cannot be read.
    """
    learnt, validation, _ = pair_set.rows
    # Twice as many to choose from, since those that share a text with a learnt pair are no new ones.
    rows = (learnt + 2 * HELD_OUT, validation, 1)
    sample = draw(replace(pair_set, rows=rows), data, unlabelled=unlabelled(pair_set))
    order = np.random.default_rng(1).permutation(len(sample.train))
    train, rest = sample.train.select(order[:learnt]), sample.train.select(order[learnt:])
    known = set(train.text_a if pair_set.families else train.texts())
    ends = zip(rest.text_a, rest.text_a if pair_set.families else rest.text_b, strict=True)
    apart = [row for row, pair in enumerate(ends) if known.isdisjoint(pair)]
    further = rest.select(np.array(apart[:HELD_OUT], dtype=np.int64))
    held_out = PairTable(
        text_a=[*sample.validation.text_a, *further.text_a],
        text_b=[*sample.validation.text_b, *further.text_b],
        label=np.concatenate([sample.validation.require_labels(), further.require_labels()]),
        source=f"{pair_set.name}, held out",
        line=[*sample.validation.line, *further.line],
        extra={},
    )
    return replace(sample, train=train, validation=held_out)


def _line(
    pair_set: PairSet, method: str, signal: str, rate: float, sample: Sample, value: np.ndarray, settings: str
) -> Rate:
    label = sample.validation.require_labels()
    found = measure(value, label, best_threshold(value, label))
    return Rate(
        set=pair_set.name,
        method=method,
        signal=signal,
        rate=rate,
        seed=0,
        pairs=len(sample.train),
        held_out=len(label),
        f1=found.f1,
        ap=found.ap,
        auc=found.auc,
        settings=settings,
        commit=commit(),
        versions=versions(),
    )


def _append(file: Path, lines: list[Rate]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # In one write: a run that is killed leaves all lines of a training or none.
    with file.open("a", encoding="utf-8") as handle:
        handle.write("".join(json.dumps(asdict(line)) + "\n" for line in lines))
