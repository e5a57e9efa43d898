"""All cells, one after another: what is there is skipped, what was begun goes on."""

import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flipkd.console import announce, console
from flipkd.device import choose_training_device
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.errors import FlipkdError
from flipkd.evaluation.metrics import measure
from flipkd.experiments.cells import Cell, commit, digest_of, read_cells, settings_behind, versions, write_cell
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.methods import PAPER, SetRun
from flipkd.experiments.outcome import Outcome
from flipkd.experiments.sets import FURTHER, PAIR_SETS, PINNED, WARM_UP_PASSES, PairSet, Sample, draw, groups
from flipkd.files import hold
from flipkd.teacher.characters import CharacterConfig, make_character_encoder
from flipkd.teacher.training import TeacherConfig

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


REVISION = 2
"""Of what no setting names. 2: one rule for all thresholds, the warm-up from labels by InfoNCE."""
CHARACTERS = "characters"
CHARACTERS_TRAINING = TeacherConfig(learning_rate=1e-3)
"""An encoder that starts from nothing learns at a higher rate than one that was pretrained (docs/lab-log.md)."""


class Key(NamedTuple):
    """Which cell."""

    pair_set: str
    seed: int
    method: str


def run_grid(config: ReproduceConfig) -> None:
    """Run the cells that are missing, the first seed of every set first.

    A cell of other settings than today's counts as missing; the report takes the later of two.

    Args:
        config: Which, and where the results go.

    Raises:
        FlipkdError: If a data set is missing or another one than that of the cells that are there, or a training fails.
    """
    results = Path(config.results)
    commit()  # Asked before anyone can commit other code than what runs.
    runs = [(name, seed) for seed in range(config.seeds) for name in config.pair_sets]
    wanted = [Key(name, seed, method) for name, seed in runs for method in METHODS]
    done = {
        Key(cell.set, cell.seed, cell.method): cell.sample
        for cell in read_cells(results)
        if cell.set in PAIR_SETS and cell.settings == settings_digest(PAIR_SETS[cell.set])
    }
    missing = [key for key in wanted if key not in done]
    where = f"the others are in {results}" if missing else f"all are in {results}; --results elsewhere for your own"
    announce("cells", f"{len(missing)} of {len(wanted)} to run", where)
    pace = _Pace(len(wanted), len(wanted) - len(missing))
    samples = {
        name: draw(PAIR_SETS[name], Path(config.data).expanduser(), unlabelled=unlabelled(PAIR_SETS[name]))
        for name in dict.fromkeys(key.pair_set for key in missing)
    }
    for key, digest in done.items():
        if key.pair_set in samples and digest != samples[key.pair_set].digest:
            raise FlipkdError(
                f"{results} has figures of {key.pair_set} on the sample {digest}; that of {config.data} is "
                f"{samples[key.pair_set].digest}, so they cannot be compared. Give --results another folder."
            )
    for name, seed in dict.fromkeys((key.pair_set, key.seed) for key in missing):
        methods = [key.method for key in missing if (key.pair_set, key.seed) == (name, seed)]
        run = set_run(config, PAIR_SETS[name], samples[name], seed)
        for method in methods:
            console.rule(f"{name}, seed {seed}: {method.replace('_', ' ')}")
            started = time.perf_counter()
            outcome = run.methods[method]()
            _keep(results, Key(name, seed, method), samples[name], run, outcome)
            missing.remove(Key(name, seed, method))
            pace.show(method, time.perf_counter() - started, [key.method for key in missing])


def settings_of(pair_set: PairSet) -> dict[str, Any]:
    """What the runs of a set differ in from the defaults of `flipkd distill`."""
    from_nothing = pair_set.teacher == CHARACTERS
    return {
        "student": pair_set.student,
        "teacher": pair_set.teacher,
        "teacher_training": CHARACTERS_TRAINING if from_nothing else TeacherConfig(),
        "directed": pair_set.directed,
        "warmup_epochs": WARM_UP_PASSES,
        **PINNED.get(pair_set.student, {}),
    }


def settings_digest(pair_set: PairSet) -> str:
    """Names all settings behind the cells of a set."""
    made = settings_behind(DistillConfig(**settings_of(pair_set)))
    return digest_of([made, PAPER, asdict(CharacterConfig()), pair_set.rows, FURTHER, REVISION])


def set_run(config: ReproduceConfig, pair_set: PairSet, sample: Sample, seed: int) -> SetRun:
    """One set with one seed, its work in a folder named by sample and settings.

    Args:
        config: Where the work goes.
        pair_set: Which.
        sample: Its pairs.
        seed: Of everything but the sample.
    """
    device = choose_training_device(config.device)
    # Named by sample and settings: what was made of others must not be taken for these.
    name = f"{pair_set.name}-{sample.digest[:6]}-{settings_digest(pair_set)[:6]}"
    shared = Path(config.work) / name
    shared.mkdir(parents=True, exist_ok=True)
    hold(shared)
    settings = DistillConfig(**settings_of(pair_set))
    settings = replace(
        settings, train=f"{pair_set.name}, a sample", output=str(shared / f"seed-{seed}"), seed=seed,
        cache_dir=config.cache_dir,
    )  # fmt: skip
    make_teacher = None
    if pair_set.teacher == CHARACTERS:
        folder = shared / f"{CHARACTERS}-{seed}"
        settings = replace(settings, teacher=str(folder))
        texts = [*sample.train.texts(), *sample.unlabelled]

        def make_teacher() -> None:
            make_character_encoder(texts, folder, seed=seed, config=CharacterConfig(), device=device)

    splits = Splits(sample.train, sample.validation, sample.test, sample.further)
    return SetRun(settings, splits, shared, device, Path(config.cache_dir).expanduser(), make_teacher)


def unlabelled(pair_set: PairSet) -> int:
    """How many further texts of the training file a set needs: an encoder that starts from nothing learns from more."""
    return CharacterConfig().limit if pair_set.teacher == CHARACTERS else FURTHER


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
        settings=settings_digest(PAIR_SETS[key.pair_set]),
        commit=commit(),
        versions=versions(),
        note=outcome.note,
    )
    group = groups(PAIR_SETS[key.pair_set], sample.test)
    write_cell(results, cell, row=sample.test_rows, label=label, group=group, value=outcome.value)


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
