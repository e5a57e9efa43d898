"""Fine-tune a teacher on labelled pairs, out of fold (docs/method.md section 4)."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce, console, warn
from flipkd.data.splits import folds as split_folds
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.teacher.teacher import Kind, Teacher, find_kind, load_model, resolve

RECORD = "flipkd_teacher.json"
ALL = "all"


@dataclass
class TeacherConfig:
    """How a teacher is fine-tuned."""

    epochs: float = 4.0
    """Passes over the pairs."""
    batch_size: int = 32
    """Pairs of a batch."""
    learning_rate: float = 1e-4
    """Peak learning rate."""
    folds: int = 2
    """Each text's vector comes from a teacher that did not see its pairs: one teacher a fold, and one trained on
    all for validation, test and use. 1 trains that one alone, and its scores of the training pairs leak labels."""
    max_seq_length: int | None = None
    """Cut texts at this many of the teacher's tokens; by default where the teacher itself does."""

    def __post_init__(self) -> None:
        if self.folds < 1 or self.epochs <= 0:
            raise FlipkdError("A teacher needs at least 1 fold, and epochs above 0.")


@dataclass(frozen=True)
class TeacherRecord:
    """What `flipkd_teacher.json` holds.

    Attributes:
        teacher: The base teacher, as the run was given it.
        digest: Of the training pairs.
        seed: Of the folds and the training.
        config: The settings.
        fold: Fold of each training pair; all 0 with one fold.
        auc_validation: AUC of the teacher trained on all, on validation; `None` without validation.
        auc_out_of_fold: AUC on each training pair by the teacher that did not see it; `None` with one fold.
        auc_in_sample: AUC on the training pairs by the teacher trained on them.
    """

    teacher: str
    digest: str
    seed: int
    config: dict[str, Any]
    fold: list[int]
    auc_validation: float | None = None
    auc_out_of_fold: float | None = None
    auc_in_sample: float | None = None

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return max(self.fold) + 1


def is_fitted(name: str) -> bool:
    """Whether a name is a folder that `fit_teacher` finished."""
    return (Path(name) / RECORD).is_file()


def read_record(folder: Path) -> TeacherRecord:
    """The record of a folder that `fit_teacher` finished.

    Raises:
        FlipkdError: If it is not one.
    """
    try:
        return TeacherRecord(**json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise FlipkdError(f"{folder / RECORD} cannot be read: {error}. Train the teacher again.") from error


def fit_teacher(
    name: str,
    pairs: PairTable,
    output: Path,
    config: TeacherConfig,
    *,
    seed: int,
    validation: PairTable | None = None,
    device: str | None = None,
) -> TeacherRecord:
    """Fine-tune a teacher, each model written whole; a second call goes on with the models that are missing.

    Args:
        name: A hub id, a folder or the packaged alias.
        pairs: Labelled training pairs.
        output: Gets `all`, one folder a fold (``fold-0`` did not see fold 0), and `flipkd_teacher.json` at the end.
        config: The settings.
        seed: Of the folds and the training.
        validation: Labelled pairs to measure on.
        device: Where to compute.

    Raises:
        FlipkdError: If `output` holds a teacher of other pairs or settings.
    """
    fold = _folds(pairs, config.folds, seed)
    record = TeacherRecord(name, pairs.digest(), seed, json.loads(json.dumps(asdict(config))), fold.tolist())
    if is_fitted(str(output)):
        stored = read_record(output)
        if (stored.teacher, stored.digest, stored.seed, stored.config) == _identity(record):
            announce("teacher", output, "these pairs and settings were trained before")
            return stored
        raise FlipkdError(f"{output} holds a teacher of other pairs or settings; choose another --output or delete it.")
    _claim(output, record)
    source = resolve(name)
    kind, reason = find_kind(source)
    announce("teacher loss", "CoSENT" if kind == "bi" else "binary cross-entropy", reason)
    jobs = {f"fold-{held_out}": fold != held_out for held_out in range(record.folds)} if record.folds > 1 else {}
    for job, rows in {**jobs, ALL: np.ones(len(pairs), dtype=bool)}.items():
        folder = output / job
        if folder.is_dir():
            announce(f"teacher {job}", "done", "read back from unfinished work")
            continue
        console.rule(f"teacher {job}: {int(rows.sum())} pairs")
        partial = output / f"{job}.partial-{os.getpid()}"
        try:
            _train(source, kind, pairs.select(np.flatnonzero(rows)), partial, config, seed, device)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    record = _measured(record, output, pairs, validation, device)
    partial_record = output / f"{RECORD}.partial"
    partial_record.write_text(json.dumps(asdict(record), indent=2))
    partial_record.replace(output / RECORD)
    (output / _CLAIM).unlink()
    return record


_CLAIM = "unfinished.json"


def _identity(record: TeacherRecord) -> tuple[Any, ...]:
    return record.teacher, record.digest, record.seed, record.config


def _claim(output: Path, record: TeacherRecord) -> None:
    """Say whose unfinished work a folder holds, and refuse another's."""
    output.mkdir(parents=True, exist_ok=True)
    claim = output / _CLAIM
    identity = json.loads(json.dumps(_identity(record)))
    if claim.is_file():
        if json.loads(claim.read_text()) != identity:
            raise FlipkdError(f"{output} holds an unfinished teacher of other pairs or settings; delete it first.")
    elif any(output.iterdir()):
        raise FlipkdError(f"{output} is not empty and holds no teacher; choose another --output.")
    else:
        claim.write_text(json.dumps(identity))


def _folds(pairs: PairTable, count: int, seed: int) -> np.ndarray:
    """The fold of each pair; one fold where the pairs hang together too much to be split, said aloud."""
    one = np.zeros(len(pairs), dtype=np.int64)
    if count == 1:
        return one
    try:
        return split_folds(pairs, count, seed)
    except FlipkdError as error:
        warn(f"The teacher is trained in one fold, and its scores of the training pairs leak labels: {error}")
        return one


def _train(
    source: str, kind: Kind, pairs: PairTable, folder: Path, config: TeacherConfig, seed: int, device: str | None
) -> None:
    import tempfile

    from datasets import Dataset
    from transformers import set_seed

    set_seed(seed)
    model = load_model(source, kind, device)
    if config.max_seq_length is not None:
        model.max_seq_length = config.max_seq_length
    data = Dataset.from_dict(
        {"text_a": pairs.text_a, "text_b": pairs.text_b, "label": pairs.require_labels().astype(float).tolist()}
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer(model, kind, data, config, seed, scratch, device)
        trainer.train()
    model.eval().save_pretrained(str(folder))


def _trainer(
    model: Any, kind: Kind, data: Any, config: TeacherConfig, seed: int, scratch: str, device: str | None
) -> Any:
    """sentence-transformers' own trainer, with its own loss."""
    from sentence_transformers import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    # The widgets of its model card would be computed, and nobody reads them.
    model.model_card_data.generate_widget_examples = False
    settings = {
        "output_dir": scratch,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "warmup_steps": 0.1,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "seed": seed,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
    }
    if kind == "cross":
        arguments = CrossEncoderTrainingArguments(**settings)
        return CrossEncoderTrainer(model=model, args=arguments, train_dataset=data, loss=BinaryCrossEntropyLoss(model))
    arguments = SentenceTransformerTrainingArguments(**settings)
    return SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=CoSENTLoss(model))


def fold_similarity(folder: Path, pairs: PairTable, fold: np.ndarray, *, device: str | None) -> np.ndarray:
    """(n,) float32 T of each training pair by the teacher that did not see it."""
    found = np.zeros(len(pairs), dtype=np.float32)
    for held_out in np.unique(fold):
        rows = np.flatnonzero(fold == held_out)
        part = pairs.select(rows)
        found[rows] = Teacher.load(str(folder / f"fold-{held_out}"), device=device).similarity(part.text_a, part.text_b)
    return found


def _measured(
    record: TeacherRecord, output: Path, pairs: PairTable, validation: PairTable | None, device: str | None
) -> TeacherRecord:
    from dataclasses import replace

    from sklearn.metrics import roc_auc_score

    teacher = Teacher.load(str(output / ALL), device=device)
    label = pairs.require_labels()
    fold = np.array(record.fold)
    in_sample = float(roc_auc_score(label, teacher.similarity(pairs.text_a, pairs.text_b)))
    found = replace(record, auc_in_sample=in_sample)
    if record.folds > 1:
        apart = fold_similarity(output, pairs, fold, device=device)
        found = replace(found, auc_out_of_fold=float(roc_auc_score(label, apart)))
    if validation is not None:
        similarity = teacher.similarity(validation.text_a, validation.text_b)
        found = replace(found, auc_validation=float(roc_auc_score(validation.require_labels(), similarity)))
    shown = {"in sample": in_sample, "out of fold": found.auc_out_of_fold, "validation": found.auc_validation}
    measured = ", ".join(f"{where} {auc:.4f}" for where, auc in shown.items() if auc is not None)
    announce("teacher AUC", measured, "in sample it has seen the labels")
    return found
