"""All cells, one after another: what is there is skipped, what was begun goes on."""

import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flipkd.console import announce, console
from flipkd.device import choose_device
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.evaluation.metrics import measure
from flipkd.experiments.cells import Cell, commit, read_cells, versions, write_cell
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.methods import Outcome, SetRun
from flipkd.experiments.sets import PAIR_SETS, PairSet, Sample, draw

METHODS = (
    "floor",
    "teacher",
    "zero_shot",
    "fine_tuned",
    "flipped_decoder",
    "flipped_encoder",
    "flipped_answer",
    "flipped_teacher",
    "fine_tuned_long",
    "fine_tuned_teacher",
    "paper_decoder",
    "no_teacher_answer",
)
"""In the order they are run: what a later one needs of an earlier one is there."""


class Key(NamedTuple):
    """Which cell."""

    pair_set: str
    seed: int
    method: str


def run_grid(config: ReproduceConfig) -> None:
    """Run the cells that are missing, the first seed of every set first.

    Args:
        config: Which, and where the results go.

    Raises:
        FlipkdError: If a data set is missing, or a training fails.
    """
    results = Path(config.results)
    wanted = [
        Key(name, seed, method) for seed in range(config.seeds) for name in config.pair_sets for method in METHODS
    ]
    done = {Key(cell.set, cell.seed, cell.method) for cell in read_cells(results)}
    missing = [key for key in wanted if key not in done]
    announce("cells", f"{len(missing)} of {len(wanted)} to run", f"the others are in {results}")
    pace = _Pace(len(wanted), len(wanted) - len(missing))
    for name, seed in dict.fromkeys((key.pair_set, key.seed) for key in missing):
        methods = [key.method for key in missing if (key.pair_set, key.seed) == (name, seed)]
        pair_set = PAIR_SETS[name]
        sample = draw(pair_set, Path(config.data).expanduser())
        run = _set_run(config, pair_set, sample, seed)
        for method in methods:
            console.rule(f"{name}, seed {seed}: {method.replace('_', ' ')}")
            with_pace = time.perf_counter()
            outcome = run.methods[method]()
            _keep(results, Key(name, seed, method), sample, run, outcome)
            missing.remove(Key(name, seed, method))
            pace.show(method, time.perf_counter() - with_pace, [key.method for key in missing])


def _set_run(config: ReproduceConfig, pair_set: PairSet, sample: Sample, seed: int) -> SetRun:
    device = choose_device(config.device)
    work = Path(config.work)
    settings = DistillConfig(
        train=f"{pair_set.name}, a sample",
        output=str(work / f"{pair_set.name}-{seed}"),
        student=pair_set.student,
        teacher=pair_set.teacher,
        directed=pair_set.directed,
        seed=seed,
        cache_dir=config.cache_dir,
    )
    shared = work / f"{pair_set.name}-shared"
    shared.mkdir(parents=True, exist_ok=True)
    splits = Splits(sample.train, sample.validation, sample.test, sample.unlabelled)
    return SetRun(settings, splits, shared, device, Path(config.cache_dir).expanduser())


def _keep(results: Path, key: Key, sample: Sample, run: SetRun, outcome: Outcome) -> None:
    label = sample.test.require_labels()
    found = measure(outcome.value, label, outcome.threshold)
    cell = Cell(
        set=key.pair_set,
        method=key.method,
        seed=key.seed,
        pairs=len(sample.train),
        f1=found.f1,
        accuracy=found.accuracy,
        ap=found.ap,
        auc=found.auc,
        threshold=found.threshold,
        seconds=outcome.seconds,
        rows=found.n,
        trainable=run.trainable if outcome.trained else 0.0,
        sample=sample.digest,
        commit=commit(),
        versions=versions(),
        note=outcome.note,
    )
    write_cell(results, cell, row=sample.test_rows, label=label, value=outcome.value)


class _Pace:
    """The bar over all cells with the time left, from what cells of each method took so far.

    It is printed when a cell ends and not kept alive: the trainings have bars of their own.
    """

    def __init__(self, total: int, done: int) -> None:
        self._bar = Progress(
            TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), console=console
        )
        self._task = self._bar.add_task("cells", total=total, completed=done, left="")
        self._took: dict[str, list[float]] = defaultdict(list)

    def show(self, method: str, seconds: float, missing: list[str]) -> None:
        """Print the bar.

        Args:
            method: What has just ended.
            seconds: What it took.
            missing: The methods still to run, one a cell.
        """
        self._took[method].append(seconds)
        means = {name: sum(took) / len(took) for name, took in self._took.items()}
        overall = sum(means.values()) / len(means)
        left = sum(means.get(name, overall) for name in missing)
        self._bar.update(self._task, advance=1, left=f"about {left / 3600:.1f} h left")
        console.print(self._bar.get_renderable())
