"""What was measured: one JSON line a cell, and beside it what was said of every test pair."""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from flipkd.distill.config import DistillConfig
from flipkd.errors import FlipkdError
from flipkd.files import written_whole

T = TypeVar("T")
M = TypeVar("M", bound="Measured")

CELLS = "cells.jsonl"
PREDICTIONS = "predictions"
LATER: dict[str, Any] = {"threshold_policy": "f1", "delimiter": None}
"""Settings that are younger than the first cells, at the values that leave a cell what it was."""


@dataclass(frozen=True)
class Cell:
    """One method on one set with one seed: a line of ``results/cells.jsonl``."""

    set: str
    """The pair set."""
    method: str
    """The method."""
    seed: int
    """Seeds the adapter, the order of the batches, the teacher's training and the folds; not the sample."""
    pairs: int
    """Labelled pairs that were learnt from."""
    f1: float
    """F1 of the matches on test, at `threshold`."""
    accuracy: float
    """Share of test pairs decided rightly, at `threshold`."""
    ap: float
    """Average precision on test."""
    auc: float
    """Area under the ROC curve on test."""
    threshold: float
    """Fitted on validation: a match is a value at least this."""
    seconds: float
    """Processor time, every core's, of all training behind the cell: teacher, warm-up, joint training, or fine-tuning.
    On a GPU it is wall time."""
    rows: int
    """Test pairs."""
    trainable: float
    """Share of the student's parameters that is trained; 0 where there is no training of it."""
    sample: str
    """Names the pairs of train, validation and test: see `Sample.digest`."""
    settings: str
    """The first 12 digits of a SHA-256 over all settings: cells of others count as not there."""
    commit: str
    """The commit of flipkd."""
    versions: dict[str, str]
    """Of the libraries."""
    note: str = ""
    """What the fitting chose, such as the sources of an answer or the passes of a stage."""


@cache
def versions() -> dict[str, str]:
    """The versions that results depend on."""
    return {name: version(name) for name in ("flipkd", "torch", "transformers", "peft", "sentence-transformers")}


@cache
def commit() -> str:
    """The commit of the source this runs from, with a plus if files differ from it; `unknown` outside a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def read_cells(results: Path) -> list[Cell]:
    """The cells of a results folder, in the order they were written; none if there is no file.

    Raises:
        FlipkdError: If a line is not a cell.
    """
    return list(read_lines(results / CELLS, Cell))


def read_lines(file: Path, kind: type[T]) -> Iterator[T]:
    """The lines of a file of JSON objects, each as a `kind`; none if there is no file.

    Raises:
        FlipkdError: If a line is not one.
    """
    if not file.is_file():
        return
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            yield kind(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise FlipkdError(f"{file}, line {number}, is no cell: {error}. Delete that line.") from error


def settings_behind(config: DistillConfig) -> dict[str, Any]:
    """What names the settings of a run: all of them, but for those of `LATER` that change nothing."""
    made = asdict(config)
    return {name: value for name, value in made.items() if name not in LATER or value != LATER[name]}


def digest_of(settings: Any) -> str:
    """Names settings: the first 12 digits of a SHA-256 over them as JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


class Measured(Protocol):
    """What a line of any table of results says of where it belongs."""

    @property
    def set(self) -> str:
        """The set of pairs or entries."""

    @property
    def method(self) -> str:
        """The method."""

    @property
    def seed(self) -> int:
        """The seed."""

    @property
    def settings(self) -> str:
        """Names all settings."""


def latest(lines: Iterable[M]) -> list[M]:
    """Those that count: a set's last settings alone, and of two of one set, method and seed the later.

    Args:
        lines: In the order they were written.
    """
    written = list(lines)
    settings = {line.set: line.settings for line in written}
    last = [line for line in written if line.settings == settings[line.set]]
    return list({(line.set, line.method, line.seed): line for line in last}.values())


def predictions_file(results: Path, pair_set: str, method: str, seed: int) -> Path:
    """Where the predictions of a cell are kept."""
    return results / PREDICTIONS / f"{pair_set}-{method}-{seed}.parquet"


def write_cell(
    results: Path, cell: Cell, *, row: np.ndarray, label: np.ndarray, group: np.ndarray, value: np.ndarray
) -> None:
    """Keep a cell: its predictions first, then its line, so that a cell that is listed is whole.

    Lines are appended in one write, so two runs of different sets may share a folder.

    Args:
        results: The folder.
        cell: The figures.
        row: (n,) rows of the test file, from 0.
        label: (n,) 0 or 1.
        group: (n,) which pairs belong together, since they share a text: they are no independent observations.
        value: (n,) what the method says of each pair, in the unit of `Cell.threshold`.
    """
    columns: dict[str, np.ndarray] = {
        "row": row.astype(np.int32),
        "label": label.astype(np.int8),
        "group": group.astype(np.int32),
        "value": value.astype(np.float64),
        "match": value >= cell.threshold,
    }
    write_columns(predictions_file(results, cell.set, cell.method, cell.seed), columns)
    with (results / CELLS).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(cell), ensure_ascii=False) + "\n")


def write_columns(file: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write a parquet file of columns of one length, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_whole(file) as partial:
        pq.write_table(pa.table({name: pa.array(column) for name, column in columns.items()}), partial)


def read_predictions(results: Path, pair_set: str, method: str, seed: int) -> dict[str, np.ndarray]:
    """The predictions of a cell by column: ``row``, ``label``, ``group``, ``value``, ``match``, each (n,).

    Of a retrieval cell: ``query`` and its figures, each (queries,).

    Raises:
        FlipkdError: If the file is not there.
    """
    import pyarrow.parquet as pq

    file = predictions_file(results, pair_set, method, seed)
    if not file.is_file():
        raise FlipkdError(f"{file} is missing, though its cell is listed. Delete the cell's line and run it again.")
    table = pq.read_table(file)
    return {name: table[name].to_numpy() for name in table.column_names}
