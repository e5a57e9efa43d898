"""What the claims about training share: our trainers and a clock inside the Trainer."""

import tempfile
import time
from collections.abc import Callable
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from benchmarks.artefact import teacher_signal
from flipkd.data.table import PairTable
from flipkd.student.model import Student
from flipkd.teacher.thresholds import DualThresholds
from flipkd.training.arguments import training_arguments
from flipkd.training.config import FlipConfig
from flipkd.training.trainer import FlipTrainer, WarmupTrainer

LEARNING_RATE = 1e-4
THRESHOLDS = DualThresholds(0.7, 0.4, "fixed: only speed is measured")


class EpochClock(TrainerCallback):  # type: ignore[misc]
    """Seconds from before the first batch is made to after the last step: collation counts, set-up does not."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """The first batch is not fetched yet."""
        self._start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The optimizer has stepped."""
        self.seconds = time.perf_counter() - self._start


def joint_epoch(student: Student, pairs: PairTable, config: FlipConfig, *, flip: bool) -> Callable[[], float]:
    """One epoch of our joint training, or with `flip` off of plain fine-tuning by cross-entropy.

    Returns:
        A function that trains anew each time it is called and returns the epoch's seconds.
    """
    signal = teacher_signal(pairs.texts(), pairs.text_a, pairs.text_b) if flip else None

    def run() -> float:
        return timed(
            lambda folder, clock: FlipTrainer(
                student, _arguments(config, folder), config=config, pairs=pairs, signal=signal,
                thresholds=THRESHOLDS if flip else None, callbacks=[clock],
            )
        )  # fmt: skip

    return run


def warmup_epoch(student: Student, pairs: PairTable, config: FlipConfig) -> Callable[[], float]:
    """One epoch of our warm-up over the pairs' texts; returns as `joint_epoch`."""
    signal = teacher_signal(pairs.texts(), pairs.text_a, pairs.text_b)

    def run() -> float:
        return timed(
            lambda folder, clock: WarmupTrainer(
                student, _arguments(config, folder), config=config, pairs=pairs, signal=signal, callbacks=[clock]
            )
        )

    return run


def _arguments(config: FlipConfig, folder: str) -> Any:
    found = training_arguments(config, folder, epochs=1, learning_rate=LEARNING_RATE, evaluate=False, device="cpu")
    found.set_save(strategy="no")
    found.set_logging(strategy="no")
    found.disable_tqdm = True
    return found


def timed(make: Callable[[str, EpochClock], Any]) -> float:
    """Build a Trainer, train, and return the seconds of its last epoch."""
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(folder, clock)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.seconds
