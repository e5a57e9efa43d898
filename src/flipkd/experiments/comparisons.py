"""The cells of a results folder by set and method, with the differences between methods."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flipkd.errors import FlipkdError
from flipkd.evaluation.intervals import Estimate, Interval, Metric, draw_rows, estimate, mean_sd, paired_interval
from flipkd.experiments.cells import CELLS, Cell, latest, predictions_file, read_cells, read_predictions
from flipkd.experiments.sets import PAIR_SETS

ONE_MODEL = (
    "floor",
    "teacher",
    "zero_shot",
    "fine_tuned",
    "fine_tuned_long",
    "paper_decoder",
    "no_teacher_answer",
    "flipped_decoder",
    "flipped_encoder",
    "flipped_answer",
)
"""The methods in the order of the report: what there is to beat, then flipping."""
TWO_MODELS = ("fine_tuned_teacher", "flipped_teacher")
"""The methods that need both models at hand."""
METRICS: tuple[Metric, ...] = ("f1", "ap")
"""What differences are shown of."""
REFERENCES = ("fine_tuned_long", "fine_tuned", "teacher", "fine_tuned_teacher", "flipped_answer")
"""What every method is compared to: the first three in the tables, all but the second for the marks."""

DRAWS = 10_000
"""Of the test rows, for an interval: with 2,000 its ends still moved by a tenth of a point from draw to draw."""

BySet = dict[str, dict[str, dict[int, Cell]]]


@dataclass(frozen=True)
class SetResults:
    """What came out on one set."""

    name: str
    """The set."""
    cells: dict[str, dict[int, Cell]]
    """By method and seed; a method without a cell is left out."""
    differences: dict[tuple[Metric, str, str], Interval]
    """By metric, method and the reference it is compared to; there where they have a seed in common."""
    matches: int
    """Test pairs that match."""
    groups: int
    """Groups of test pairs that hang together, see `flipkd.experiments.sets.groups`."""

    @property
    def every(self) -> list[Cell]:
        """All cells."""
        return [cell for by_seed in self.cells.values() for cell in by_seed.values()]

    @property
    def all_match(self) -> float:
        """F1 of calling every test pair a match."""
        return 2 * self.matches / (self.matches + self.rows)

    def notes(self, method: str) -> list[str]:
        """What the fitting chose, such as the sources of an answer: each once, in the order of the seeds."""
        return list(dict.fromkeys(cell.note for cell in self.cells.get(method, {}).values() if cell.note))

    @property
    def seeds(self) -> list[int]:
        """The seeds that any method has."""
        return sorted({cell.seed for cell in self.every})

    @property
    def rows(self) -> int:
        """Test pairs."""
        return self.every[0].rows

    def over_seeds(self, method: str, figure: str) -> tuple[float, float | None] | None:
        """Mean and standard deviation of a field of the cells; None without a cell."""
        return over_seeds(self.cells, method, figure)


def over_seeds(cells: Mapping[str, Mapping[int, Cell]], method: str, figure: str) -> tuple[float, float | None] | None:
    """Mean and standard deviation over the seeds of a method.

    Args:
        cells: By method and seed.
        method: Which.
        figure: A field of `Cell` that is a number.

    Returns:
        None if the method has no cell, and no deviation if it has one.
    """
    if method not in cells:
        return None
    return mean_sd([getattr(cell, figure) for cell in cells[method].values()])


def by_set(cells: Iterable[Cell]) -> BySet:
    """Sort cells by set, method and seed, in the order of the table, what it does not know last; the later counts.

    Args:
        cells: In the order they were written: of two of one set, method and seed the first was run again. Of a set
            whose settings changed, the cells of the last ones alone are taken: methods are compared at one recipe.
    """
    sets, methods = list(PAIR_SETS), [*ONE_MODEL, *TWO_MODELS]

    def place(name: str, known: list[str]) -> tuple[int, str]:
        return (known.index(name) if name in known else len(known), name)

    found: BySet = {}
    for cell in sorted(latest(cells), key=lambda cell: (place(cell.set, sets), place(cell.method, methods), cell.seed)):
        found.setdefault(cell.set, {}).setdefault(cell.method, {})[cell.seed] = cell
    return found


def read_results(results: Path) -> list[SetResults]:
    """Read the cells and predictions of a folder and compare the methods, set by set.

    Raises:
        FlipkdError: If a file is broken or missing, or not what its cell was measured on, or two cells of a set are of
            different samples.
    """
    found = []
    for name, cells in by_set(read_cells(results)).items():
        said = _said(results, next(cell for by_seed in cells.values() for cell in by_seed.values()))
        matches, together = int(said["label"].sum()), len(np.unique(said["group"]))
        found.append(SetResults(name, cells, _differences(results, cells), matches, together))
    return found


def _differences(results: Path, cells: Mapping[str, Mapping[int, Cell]]) -> dict[tuple[Metric, str, str], Interval]:
    estimates = _estimates(results, cells)
    differences = {}
    for metric, of_methods in estimates.items():
        for reference in [name for name in REFERENCES if name in of_methods]:
            for method in [name for name in of_methods if name != reference]:
                interval = paired_interval(of_methods[method], of_methods[reference])
                if interval is not None:
                    differences[metric, method, reference] = interval
    return differences


def _estimates(results: Path, cells: Mapping[str, Mapping[int, Cell]]) -> dict[Metric, dict[str, dict[int, Estimate]]]:
    """The metrics of all cells of a set on the same replicates, by metric, method and seed."""
    estimates: dict[Metric, dict[str, dict[int, Estimate]]] = {metric: {} for metric in METRICS}
    every = [(cell, _said(results, cell)) for by_seed in cells.values() for cell in by_seed.values()]
    of, first = every[0]
    counts = draw_rows(first["label"], first["group"], DRAWS)
    for cell, said in every:
        same_rows = all(np.array_equal(said[column], first[column]) for column in ("row", "label", "group"))
        if cell.sample != of.sample or not same_rows:
            raise FlipkdError(
                f"{cell.set}: {cell.method}, seed {cell.seed} (sample {cell.sample}) and {of.method}, seed {of.seed} "
                f"({of.sample}) are of different samples and cannot be compared. Delete the lines of one from {CELLS}."
            )
        for metric in METRICS:
            of_method = estimates[metric].setdefault(cell.method, {})
            shown = said["match" if metric == "f1" else "value"]
            of_method[cell.seed] = found = estimate(metric, said["label"], shown, counts)
            if not np.isclose(found.whole, getattr(cell, metric)):
                raise FlipkdError(
                    f"{predictions_file(results, cell.set, cell.method, cell.seed)} gives another {metric.upper()} "
                    f"({found.whole:.4f}) than its cell ({getattr(cell, metric):.4f}). Delete the cell's line from "
                    f"{CELLS} and run it again."
                )
    return estimates


def _said(results: Path, cell: Cell) -> dict[str, np.ndarray]:
    """The predictions of a cell in the order of the test rows."""
    said = read_predictions(results, cell.set, cell.method, cell.seed)
    order = np.argsort(said["row"])
    return {name: column[order] for name, column in said.items()}
