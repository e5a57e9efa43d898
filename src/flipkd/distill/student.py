"""A run's student through its stages: zero-shot, fine-tuned, and flipped."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from transformers import EarlyStoppingCallback

from flipkd.console import announce, console, warn
from flipkd.data.table import PairTable
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.distill.workspace import Workspace
from flipkd.files import written_whole
from flipkd.student.adapter import adapter_state, add_adapter
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.loading import load_student
from flipkd.student.model import Student
from flipkd.student.template import Template
from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.thresholds import DualThresholds
from flipkd.training.arguments import training_arguments
from flipkd.training.rates import joint_rate, warm_up_rate
from flipkd.training.stage import StageTrainer, load_adapter_state
from flipkd.training.trainer import FlipTrainer, WarmupTrainer

FLAT = 0.01
"""Standard deviation of the similarities of the validation pairs below which a trained encoder counts as collapsed: on
the test pairs of the table it is .07 to .23 (docs/lab-log.md)."""


def build_student(config: DistillConfig, device: str, cache: Path) -> Student:
    """The configured student with a fresh adapter."""
    base, tokenizer = load_student(config.student, device=device, cache_dir=cache)
    template = Template.build(
        tokenizer,
        prompt=config.prompt,
        label_words=config.label_words,
        max_text_tokens=config.max_text_tokens,
    )
    return add_adapter(
        base,
        tokenizer,
        template,
        adapt_layers=config.adapt_layers,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        site_layer=config.site_layer,
        site_modules=config.site_modules,
        pooling=config.pooling,
        seed=config.seed,
    )


class StudentRun:
    """Takes one student through the stages, each kept in the workspace when it ends.

    Args:
        student: The student, fresh.
        config: The run's settings.
        splits: The pairs.
        work: Where finished pieces are kept.
        device: Where the Trainer computes.
    """

    def __init__(self, student: Student, config: DistillConfig, splits: Splits, work: Workspace, device: str) -> None:
        self.student = student
        self.config = config
        self.splits = splits
        self.work = work
        self.device = device
        self._fresh = work.folder / "fresh.safetensors"
        if self._fresh.is_file():
            load_adapter_state(student, self._fresh)
        else:
            self._keep(self._fresh)

    def read(self, name: str, *, vectors: bool = True) -> dict[str, np.ndarray]:
        """What the student says of validation and test now, the pairs as given.

        Args:
            name: The piece of work it is kept as.
            vectors: Read the encoder too, which plain fine-tuning does not train.

        Returns:
            For each such split ``<split>_log_odds``, (n,) float64; with vectors also ``<split>_similarity``, (n,)
            float64, and ``<split>_vectors``, (texts, d) float32, one row a distinct text.
        """

        def work() -> dict[str, np.ndarray]:
            found: dict[str, np.ndarray] = {}
            for split, table in self._held_out():
                reader = Reader(self.student, progress=f"{name} on {split}")
                pairs = EncodedPairs.of(self.student, table.text_a, table.text_b)
                if not vectors:
                    found[f"{split}_log_odds"] = reader.log_odds(pairs)
                    continue
                signals = reader.signals(pairs)
                if split == "validation" and name != "zero_shot":
                    _warn_of_collapse(signals.similarity)
                found[f"{split}_log_odds"] = signals.log_odds
                found[f"{split}_similarity"] = signals.similarity
                found[f"{split}_vectors"] = signals.vectors
            return found

        return self._read_once(f"read_{name}", work)

    def read_swapped(self, name: str, split: str) -> np.ndarray:
        """(n,) float64 log-odds of a split's pairs with a and b exchanged, by the adapter there is now."""

        def work() -> dict[str, np.ndarray]:
            table = self.splits.tables[split]
            reader = Reader(self.student, progress=f"{name} on {split}, swapped")
            return {"log_odds": reader.log_odds(EncodedPairs.of(self.student, table.text_b, table.text_a))}

        return self._read_once(f"swapped_{name}_{split}", work)["log_odds"]

    def _read_once(self, name: str, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        # As the artefact will answer, which thresholds are fitted for.
        with self.student.unrounded():
            return self.work.once(name, work)

    def average_orders(self, read: dict[str, dict[str, np.ndarray]]) -> None:
        """Average the trained decoders' log-odds over both orders, in place: what one may do, the other may."""
        for name in ("fine_tuned", "flipped"):
            if name in read:
                self._load(name)
                for split, _ in self._held_out():
                    key = f"{split}_log_odds"
                    read[name][key] = (read[name][key] + self.read_swapped(name, split)) / 2

    def _held_out(self) -> Iterator[tuple[str, PairTable]]:
        return ((name, table) for name, table in self.splits.tables.items() if name != "train")

    def _keep(self, file: Path) -> None:
        with written_whole(file) as partial:
            save_file(adapter_state(self.student), partial)

    def _load(self, name: str) -> None:
        """The adapter of a finished stage; of ``zero_shot`` the fresh one, whose B is zero."""
        file = self._fresh if name == "zero_shot" else self.work.folder / f"{name}.safetensors"
        load_adapter_state(self.student, file)

    def reset(self) -> None:
        """Back to the fresh adapter, the same for every method."""
        self._load("zero_shot")

    def stage(self, name: str, make: Callable[[str], StageTrainer]) -> list[dict[str, Any]]:
        """Run a stage once; a finished one is loaded. Returns its log."""
        log: list[dict[str, Any]] | None = self.work.recorded(name)
        if log is None:
            console.rule(name.replace("_", " "))
            with self.work.timing(name):
                log = make(str(self.work.folder / name)).run()
            self._keep(self.work.folder / f"{name}.safetensors")
            self.work.record(name, log)
        else:
            announce(name.replace("_", " "), "done", "read back from unfinished work")
            self._load(name)
        return [{**record, "stage": name} for record in log]

    def fine_tune(self, name: str = "fine_tuned", epochs: float | None = None) -> list[dict[str, Any]]:
        """Plain LoRA fine-tuning from the fresh adapter: the labels' cross-entropy alone.

        Args:
            name: The piece of work it is kept as.
            epochs: Passes over the pairs; by default those that the settings name.
        """
        self.reset()
        passes = epochs or self.config.baseline_epochs or self.config.epochs
        return self.stage(name, lambda folder: self._joint(folder, None, None, passes))

    def warm_up(self, signal: TeacherSignal) -> list[dict[str, Any]]:
        """Stage 1 from the fresh adapter; left out, and said, where it cannot or should not run."""
        self.reset()
        if self.config.warmup_epochs == 0:
            announce("warm-up", "none", "warmup_epochs is 0")
            return []
        if signal.vectors is None:
            announce("warm-up", "none", "a teacher of pairs alone has no vectors to learn from")
            return []
        return self.stage(
            "warm_up",
            lambda folder: WarmupTrainer(
                self.student,
                self.arguments(
                    folder, self.config.warmup_epochs, warm_up_rate(self.config, self.student), evaluate=False
                ),
                config=self.config,
                pairs=self.splits.train,
                signal=signal,
                unlabelled=self.splits.unlabelled,
            ),
        )

    def flip(self, signal: TeacherSignal, thresholds: DualThresholds, name: str = "flipped") -> list[dict[str, Any]]:
        """Stage 2, from the adapter there is now: where the warm-up ended, or the fresh one."""
        return self.stage(name, lambda folder: self._joint(folder, signal, thresholds, self.config.epochs))

    def _joint(
        self, folder: str, signal: TeacherSignal | None, thresholds: DualThresholds | None, epochs: float
    ) -> FlipTrainer:
        patience = self.config.early_stopping_patience
        return FlipTrainer(
            self.student,
            self.arguments(folder, epochs, joint_rate(self.config, self.student), evaluate=True),
            config=self.config,
            pairs=self.splits.train,
            signal=signal,
            thresholds=thresholds,
            validation=self.splits.validation,
            callbacks=None if patience is None else [EarlyStoppingCallback(patience)],
        )

    def arguments(self, folder: str, epochs: float, learning_rate: float, *, evaluate: bool) -> Any:
        """The Trainer's arguments for one stage of this run; `training_arguments` says more."""
        return training_arguments(
            self.config,
            folder,
            epochs=epochs,
            learning_rate=learning_rate,
            evaluate=evaluate,
            device=self.device,
        )


def _warn_of_collapse(similarity: np.ndarray) -> None:
    """Say where a trained encoder gives (n,) pairs nearly one similarity."""
    if (spread := similarity.std()) < FLAT:
        warn(
            f"The encoder gives all validation pairs nearly one similarity (standard deviation {spread:.4f}): it tells "
            "no texts apart. Look at the log of the warm-up, and lower --warmup-learning-rate."
        )
