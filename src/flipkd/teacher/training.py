"""Fine-tune a teacher on the pairs, out of fold (docs/method.md section 4)."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce, warn
from flipkd.data.identity import pair_keys
from flipkd.data.splits import folds
from flipkd.data.table import PairTable
from flipkd.device import require_one_process
from flipkd.errors import FlipkdError
from flipkd.teacher.leak import auc, auc_error, require_measurable
from flipkd.teacher.loading import Kind, fingerprint, kind_of, load_model, resolve, without_bars
from flipkd.teacher.record import ALL, RECORD, FitRecord, fold_names, is_fitted, read_record
from flipkd.teacher.teacher import Teacher

__all__ = ["TeacherConfig", "fit_teacher", "is_fitted"]


@dataclass(frozen=True)
class TeacherConfig:
    """How a teacher is fine-tuned."""

    epochs: float = 4.0
    """Passes over the pairs."""
    batch_size: int = 32
    """Pairs of a batch. CoSENT compares within a batch: larger ones compare more."""
    learning_rate: float = 1e-4
    """Peak learning rate; it falls linearly to 0."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises to its peak."""
    folds: int = 2
    """Teachers trained beside the one of all pairs, each without the fold it is to judge; 1 trains none, and the
    student then sees similarities that know the labels."""
    max_seq_length: int | None = None
    """Tokens of a text, or pair, that the teacher reads; by default its own limit."""

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise FlipkdError(f"A teacher needs at least 1 fold; {self.folds} were asked for.")
        if not (0 < self.epochs < math.inf and 0 < self.learning_rate < math.inf and self.batch_size >= 2):
            raise FlipkdError("A teacher needs epochs and a learning rate above 0, and batches of 2 pairs or more.")
        # From 1 on the Trainer would take it for a number of steps.
        if not 0 <= self.warmup < 1:
            raise FlipkdError(f"A teacher's warmup is a share of its steps, from 0 to below 1; it is {self.warmup}.")
        if self.max_seq_length is not None and self.max_seq_length < 1:
            raise FlipkdError(f"A teacher's max_seq_length must be at least 1 token; it is {self.max_seq_length}.")


def fit_teacher(
    name: str,
    pairs: PairTable,
    output: Path,
    config: TeacherConfig,
    *,
    seed: int,
    validation: PairTable | None = None,
    device: str | None = None,
    cache_dir: Path | None = None,
) -> None:
    """Fine-tune one teacher a fold and one on all pairs, and measure them.

    Writes `output/fold-0`, `output/fold-1`, ... (fold-i did not see fold i, so it is the one to judge it),
    `output/all` and `output/flipkd_teacher.json` (`FitRecord`). Each folder is written whole or not at all;
    a second call goes on with what is missing.

    Args:
        name: The teacher to start from; see `flipkd.teacher.loading.resolve`.
        pairs: Labelled training pairs.
        output: The folder, new, empty, or of an earlier call with the same teacher, pairs, config and seed.
        config: How to train.
        seed: Of the folds, the order of the batches and dropout.
        validation: Labelled pairs to measure on.
        device: Where to compute, such as cuda or cpu; by default a GPU where there is one.
        cache_dir: Where the vectors and similarities behind the measures are kept, for later use; by default
            ~/.cache/flipkd.

    Raises:
        FlipkdError: If the folder holds something else, the pairs lack labels, or
            the teacher can't be loaded.
    """
    require_one_process()
    base = resolve(name)
    kind, reason = kind_of(base)
    announce("teacher to fine-tune", f"{name}, a {kind}-encoder", reason)
    _require_both_classes(pairs)
    if validation is not None:
        require_measurable(validation)
    record = _begin(_plan(name, base, kind, pairs, config, seed), output)
    measured_on = None if validation is None else validation.digest()
    fold = np.asarray(record.fold)
    for number, part in enumerate(record.parts):
        if (output / part).is_dir():
            announce(f"teacher {part}", "kept", "an earlier run finished it")
            continue
        rows = np.arange(len(pairs)) if part == ALL else np.flatnonzero(fold != number)
        _train_part(base, kind, pairs.select(rows), output / part, config, seed, device)
    if record.finished and record.validation_digest == measured_on:
        return
    found = _measure(base, output, record, pairs, validation, device, cache_dir)
    for what, value in _figures(found):
        announce("teacher AUC", f"{value:.4f}", what)
    untuned, tuned = found["untuned"], found["validation"].get(ALL)
    if validation is not None and untuned is not None and untuned > tuned:
        warn(
            f"Fine-tuning made the teacher worse: its AUC on validation was {untuned:.3f} and is {tuned:.3f} (standard "
            f"error {auc_error(validation, tuned):.3f}). If that is more than chance, it may be worse elsewhere, too: "
            "look at the pairs, or use it as it is, --fine-tune-teacher false."
        )
    replace(record, finished=True, validation_digest=measured_on, auc=found).write(output)


def _require_both_classes(pairs: PairTable) -> None:
    label = pairs.require_labels()
    if len(np.unique(label)) < 2:
        raise FlipkdError(
            f"{pairs.source}: the {len(label)} pairs do not hold both labels, so there is nothing to learn. "
            "Add pairs of the missing label."
        )


def _plan(name: str, base: Path, kind: Kind, pairs: PairTable, config: TeacherConfig, seed: int) -> FitRecord:
    fold = _deal(pairs, config.folds, seed)
    return FitRecord(
        base=name,
        base_revision=fingerprint(base),
        kind=kind,
        seed=seed,
        config=asdict(config),
        pairs_digest=pairs.digest(),
        folds=max(fold, default=0) + 1,
        fold=fold,
        pairs_seen=sorted(set(pair_keys(pairs.text_a, pairs.text_b))),
    )


def _deal(pairs: PairTable, count: int, seed: int) -> list[int]:
    """The fold of each pair; none where shared texts tie the pairs together too much to be dealt, said aloud."""
    if count == 1:
        return []
    try:
        return [int(fold) for fold in folds(pairs, count, seed)]
    except FlipkdError as error:
        warn(f"The teacher is trained without folds, so it will know the labels of the training pairs. {error}")
        return []


def _begin(plan: FitRecord, output: Path) -> FitRecord:
    """The record to go on from; written before any teacher, so that a second call knows whose they are."""
    if (output / RECORD).is_file():
        earlier = read_record(output)
        if earlier.same_training(plan):
            return earlier
        raise FlipkdError(
            f"{output} holds another teacher: it was trained from other pairs, another base, config or seed "
            f"(see {RECORD} there). Give another folder, or delete this one."
        )
    # A run that was killed leaves a hidden file.
    if output.is_dir() and any(not file.name.endswith(".partial") for file in output.iterdir()):
        raise FlipkdError(f"{output} holds something else than a teacher. Give an empty or a new folder.")
    output.mkdir(parents=True, exist_ok=True)
    plan.write(output)
    return plan


def _train_part(
    base: Path, kind: Kind, pairs: PairTable, folder: Path, config: TeacherConfig, seed: int, device: str | None
) -> None:
    """Train one teacher and write its folder."""
    from flipkd.teacher.trainer import train

    model = load_model(base, kind, device=device, train=True)
    if config.max_seq_length is not None:
        model.max_seq_length = config.max_seq_length
    train(
        model,
        kind,
        pairs,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        seed=seed,
        description=f"Teacher {folder.name}, {len(pairs)} pairs",
    )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # No model card: sentence-transformers' would quote training texts.
    with without_bars():
        model.save_pretrained(str(partial), create_model_card=False)
    partial.rename(folder)


def _measure(
    base: Path,
    output: Path,
    record: FitRecord,
    pairs: PairTable,
    validation: PairTable | None,
    device: str | None,
    cache_dir: Path | None,
) -> dict[str, Any]:
    """AUC of each teacher and of a bi-encoder's base on validation, of the training pairs out of fold and in sample."""
    on_validation: dict[str, float] = {}
    out_of_fold = np.empty(len(pairs), dtype=np.float32)
    fold = np.asarray(record.fold)
    found: dict[str, Any] = {"untuned": None, "validation": on_validation, "out_of_fold": None}
    # The head of a cross-encoder may have answered another question.
    if validation is not None and record.kind == "bi":
        untuned = Teacher.load(str(base), device=device, cache_dir=cache_dir)
        found["untuned"] = auc(validation, _of(untuned, validation))
    for number, part in enumerate(record.parts):
        teacher = Teacher.load(str(output / part), device=device, cache_dir=cache_dir)
        if validation is not None:
            on_validation[part] = auc(validation, _of(teacher, validation))
        if part == ALL:
            found["in_sample"] = auc(pairs, _of(teacher, pairs))
        else:
            rows = np.flatnonzero(fold == number)
            out_of_fold[rows] = _of(teacher, pairs.select(rows))
    if fold_names(record.folds):
        found["out_of_fold"] = auc(pairs, out_of_fold)
    return found


def _of(teacher: Teacher, table: PairTable) -> NDArray[np.float32]:
    return teacher.similarity(table.text_a, table.text_b)


def _figures(found: dict[str, Any]) -> Sequence[tuple[str, float]]:
    figures = [] if found["untuned"] is None else [("untuned, on validation", found["untuned"])]
    figures += [(f"{part} on validation", value) for part, value in found["validation"].items()]
    if found["out_of_fold"] is not None:
        figures.append(("training pairs, each by the teacher that did not see it", found["out_of_fold"]))
    return [
        *figures,
        ("training pairs by the teacher that saw them: how much a leak would flatter", found["in_sample"]),
    ]
