"""The methods of the main table on one set with one seed, each trained once and kept until the work is deleted."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from flipkd.console import announce, track
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.distill.student import StudentRun, build_student
from flipkd.distill.teach import dual_thresholds, teach
from flipkd.distill.workspace import Workspace
from flipkd.evaluation.answer import fit_answer
from flipkd.evaluation.overlap import overlap
from flipkd.evaluation.thresholds import best_threshold
from flipkd.experiments.labels import LABEL_PASSES, LIMITS, LabelWarmupTrainer, label_signal
from flipkd.experiments.outcome import Outcome
from flipkd.files import written_whole
from flipkd.student.inference import EncodedPairs
from flipkd.student.model import Student
from flipkd.student.packing import pack, to_device
from flipkd.training.rates import warm_up_rate

PAPER: dict[str, Any] = {
    "warmup_epochs": 0.0,
    "sets": "matrix",
    "soft_weight": 0.0,
    "mcl_weight": 1.0,
    "distillation_weight": 0.3,
}
"""The settings of ``paper_decoder``: those of configs/paper.yaml, to which a test holds them."""
LONG = 2.0
"""Passes of the longer fine-tuning for one of flipping's where rates are compared; the table gives each set its own."""
SOURCES = [("decoder",), ("encoder",), ("decoder", "encoder")]
"""What an answer of one model may be made of."""
WITH_TEACHER = [("teacher",), ("decoder", "teacher"), ("decoder", "encoder", "teacher")]
"""What an answer of two models may be made of: the teacher alone where the student adds nothing."""


class SetRun:
    """One set with one seed. Whatever a method needs is trained when it is first asked for, and then shared.

    Args:
        config: The settings; `output` names the work folder.
        splits: The sample.
        shared: A folder for what all seeds of the set share: frozen layers' outputs, the untrained student's word.
        device: Where to compute.
        cache: Where teacher vectors are kept.
        make_teacher: Makes the folder that `config.teacher` names, if anything has to; part of the teacher's cost.
    """

    def __init__(
        self,
        config: DistillConfig,
        splits: Splits,
        shared: Path,
        device: str,
        cache: Path,
        make_teacher: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self.splits = splits
        self.make_teacher = make_teacher
        self.shared = shared
        self.device = device
        self.cache = cache
        # Hours of trainings share their machine with other work, whose time is not theirs.
        clock = time.process_time if device == "cpu" else time.perf_counter
        self.work = Workspace(config, splits.digests, clock)
        self.methods: dict[str, Callable[[], Outcome]] = {
            "floor": self._floor,
            "teacher": self._teacher_alone,
            "zero_shot": self._zero_shot,
            "fine_tuned": lambda: self._decoder("fine_tuned", "fine_tuned"),
            "flipped_decoder": lambda: self._decoder("flipped", "teacher", "warm_up", "flipped"),
            "flipped_encoder": self._encoder,
            "flipped_answer": lambda: self._answer("flipped", SOURCES, "teacher", "warm_up", "flipped"),
            "flipped_teacher": lambda: self._answer("flipped", WITH_TEACHER, "teacher", "warm_up", "flipped"),
            "fine_tuned_long": lambda: self._decoder("fine_tuned_long", "fine_tuned_long"),
            "fine_tuned_teacher": lambda: self._answer(
                "fine_tuned_long", WITH_TEACHER[:2], "teacher", "fine_tuned_long"
            ),
            "paper_decoder": lambda: self._decoder("paper", "teacher", "paper"),
            "no_teacher_answer": lambda: self._answer("labels", SOURCES, "label_warm_up", "labels"),
        }

    @cached_property
    def student(self) -> Student:
        """The student with a fresh adapter; the stages load theirs into it."""
        student = build_student(self.config, self.device, self.cache)
        student.use_trunk_cache(
            self.shared / "trunk", int(self.config.trunk_cache_gb * 2**30), self.config.trunk_cache_dtype
        )
        return student

    @cached_property
    def trainable(self) -> float:
        """The share of the student's parameters that is trained."""
        sizes = [(p.numel(), p.requires_grad) for p in self.student.parameters()]
        return sum(n for n, trained in sizes if trained) / sum(n for n, _ in sizes)

    @cached_property
    def _run(self) -> StudentRun:
        self._fill_trunk()
        return StudentRun(self.student, self.config, self.splits, self.work, self.device)

    @torch.no_grad()
    def _fill_trunk(self) -> None:
        """Compute the frozen layers' outputs of the training pairs, which all methods share, before any is timed."""
        trunk, pairs = self.student.trunk, self.splits.train
        if trunk is None or self.work.recorded("trunk") is not None:
            return
        orders = [(pairs.text_a, pairs.text_b)] + ([] if self.config.directed else [(pairs.text_b, pairs.text_a)])
        for text_a, text_b in orders:
            encoded = EncodedPairs.of(self.student, text_a, text_b)
            for rows in track(np.array_split(np.arange(len(pairs)), -(-len(pairs) // 16)), "frozen layers"):
                ends = np.stack([encoded.a[rows], encoded.b[rows]])
                distinct, where = np.unique(ends, return_inverse=True)
                left, right = where.reshape(2, -1).tolist()
                ids = [encoded.ids[text] for text in distinct]
                packed = pack(self.student.template, ids, list(zip(left, right, strict=True)))
                trunk(to_device(packed, self.student.device))
        self.work.record("trunk", True)

    @cached_property
    def _taught(self) -> Any:
        if self.make_teacher is not None and self.work.recorded("made_teacher") is None:
            with self.work.timing("teacher"):
                self.make_teacher()
            self.work.record("made_teacher", True)
        teacher, signal = teach(self.config, self.splits, self.work, self.device, self.cache)
        thresholds, _ = dual_thresholds(self.config, teacher, self.splits)
        return teacher, signal, thresholds

    @cached_property
    def _teacher_signals(self) -> tuple[np.ndarray, np.ndarray]:
        teacher = self._taught[0]
        validation, test = (
            teacher.similarity(table.text_a, table.text_b).astype(np.float64)
            for table in (self.splits.validation, self.splits.tables["test"])
        )
        return validation, test

    @cached_property
    def _stages(self) -> dict[str, Callable[[], object]]:
        """How the adapter of each piece of work comes about; each leaves it in the student."""
        run = self._run
        paper = StudentRun(self.student, replace(self.config, **PAPER), self.splits, self.work, self.device)
        # Nothing to distil: a squared error against labels as cosines would push matches apart that differ.
        labels = StudentRun(
            self.student,
            replace(self.config, distillation_weight=0.0, soft_weight=0.0),
            self.splits,
            self.work,
            self.device,
        )

        def flipped() -> None:
            _, signal, thresholds = self._taught
            run.warm_up(signal)
            run.flip(signal, thresholds)

        def by_paper() -> None:
            _, signal, thresholds = self._taught
            run.reset()
            paper.flip(signal, thresholds, "paper")

        def from_labels() -> None:
            run.reset()
            rate = warm_up_rate(self.config, self.student)
            run.stage(
                "label_warm_up",
                lambda folder: LabelWarmupTrainer(
                    self.student,
                    run.arguments(folder, LABEL_PASSES, rate, evaluate=False),
                    config=self.config,
                    pairs=self.splits.train,
                ),
            )
            labels.flip(label_signal(self.splits.train), LIMITS, "labels")

        return {
            "fine_tuned": run.fine_tune,
            "fine_tuned_long": lambda: run.fine_tune("fine_tuned_long", self._long_epochs()),
            "flipped": flipped,
            "paper": by_paper,
            "labels": from_labels,
        }

    def _long_epochs(self) -> float:
        """As many passes of fine-tuning as take the time that flipping took in all, its teacher included."""
        kept = self.work.recorded("long_epochs")
        if kept is None:
            # Both have to be trained first.
            self._read("fine_tuned")
            self._read("flipped")
            flipping = self._seconds("teacher", "warm_up", "flipped")
            a_pass = self._seconds("fine_tuned") / (self.config.baseline_epochs or self.config.epochs)
            kept = max(round(flipping / a_pass, 1), self.config.epochs)
            self.work.record("long_epochs", kept)
            announce("fine_tuned_long", f"{kept} passes", f"{flipping:.0f} s of flipping, {a_pass:.0f} s a pass")
        return float(kept)

    def _read(self, name: str) -> Mapping[str, np.ndarray]:
        """What the student of a piece of work says of validation and test; trained first if it is not."""
        if not (self.work.folder / f"read_{name}.npz").is_file():
            self._stages[name]()
        return self._run.read(name, vectors=name in ("flipped", "labels"))

    def at_rate(self, method: Literal["fine_tuned_long", "flipped"], rate: float) -> Mapping[str, np.ndarray]:
        """What plain fine-tuning or flipping says when its peak learning rate is `rate`; trained once.

        Args:
            method: Which of the two; flipping starts from the one warm-up of all rates, and fine-tuning has
                `LONG` times flipping's passes, about what equal time gives it.
            rate: In the place of the configured one.

        Returns:
            As `StudentRun.read`, with similarities for flipping alone.
        """
        self._fill_trunk()
        run = StudentRun(self.student, replace(self.config, learning_rate=rate), self.splits, self.work, self.device)
        name = f"{method}_at_{rate:.2g}"
        if not (self.work.folder / f"read_{name}.npz").is_file():
            if method == "fine_tuned_long":
                run.fine_tune(name, LONG * self.config.epochs)
            else:
                _, signal, thresholds = self._taught
                run.warm_up(signal)
                run.flip(signal, thresholds, name)
        return run.read(name, vectors=method == "flipped")

    def _seconds(self, *pieces: str) -> float:
        seconds = self.work.seconds()
        return sum(seconds.get(piece, 0.0) for piece in pieces)

    @property
    def _labels(self) -> np.ndarray:
        return self.splits.validation.require_labels()

    def _by_threshold(
        self, validation: np.ndarray, test: np.ndarray, seconds: float, *, trained: bool, note: str = ""
    ) -> Outcome:
        return Outcome(test, best_threshold(validation, self._labels), seconds, trained, note)

    def _floor(self) -> Outcome:
        validation, test = (overlap(self.splits.tables[name]) for name in ("validation", "test"))
        return self._by_threshold(validation, test, 0.0, trained=False)

    def _teacher_alone(self) -> Outcome:
        validation, test = self._teacher_signals
        return self._by_threshold(validation, test, self._seconds("teacher"), trained=False)

    def _zero_shot(self) -> Outcome:
        kept = self.shared / "zero_shot.npz"
        if kept.is_file():
            with np.load(kept) as stored:
                read = dict(stored)
        else:
            self._run.reset()
            read = self._run.read("zero_shot", vectors=False)
            with written_whole(kept) as partial, partial.open("wb") as handle:
                np.savez(handle, **read)  # type: ignore[arg-type]
        return self._by_threshold(read["validation_log_odds"], read["test_log_odds"], 0.0, trained=False)

    def _decoder(self, name: str, *pieces: str) -> Outcome:
        read = self._read(name)
        note = f"{self._long_epochs()} passes" if name == "fine_tuned_long" else ""
        return self._by_threshold(
            read["validation_log_odds"], read["test_log_odds"], self._seconds(*pieces), trained=True, note=note
        )

    def _encoder(self) -> Outcome:
        read = self._read("flipped")
        return self._by_threshold(
            read["validation_similarity"],
            read["test_similarity"],
            self._seconds("teacher", "warm_up", "flipped"),
            trained=True,
        )

    def _answer(self, name: str, sources: list[tuple[str, ...]], *pieces: str) -> Outcome:
        read = self._read(name)
        needed = {source for candidate in sources for source in candidate}
        signals = {"decoder": (read["validation_log_odds"], read["test_log_odds"])}
        if "encoder" in needed:
            signals["encoder"] = (read["validation_similarity"], read["test_similarity"])
        if "teacher" in needed:
            signals["teacher"] = self._teacher_signals
        validation, test = ({source: values[split] for source, values in signals.items()} for split in (0, 1))
        # Without isotonic steps, which the first cells lacked, nor its own threshold: all methods' come by one rule.
        answer = fit_answer(validation, self._labels, sources, seed=self.config.seed, steps=False)
        seen, value = answer.probability(validation), answer.probability(test)
        return self._by_threshold(seen, value, self._seconds(*pieces), trained=True, note=" + ".join(answer.sources))
