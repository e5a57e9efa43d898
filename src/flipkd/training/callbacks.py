"""What the Trainer's own callbacks lack: a stop that leaves a checkpoint, and patience that outlives a stop."""

import signal
import threading
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState
from transformers.trainer_callback import CallbackHandler
from transformers.trainer_utils import SaveStrategy

from flipkd.console import console

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what schedulers and containers send before they kill."""


class InterruptCallback(TrainerCallback):  # type: ignore[misc]
    """On Ctrl-C or SIGTERM, finish the step, write a checkpoint and stop; a second one stops at once.

    With checkpoints at the end of each epoch, a step that ends one leaves its checkpoint to that: the same one is never
    written twice, and it holds what was measured there. Inside an epoch nothing is measured.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._before: dict[signal.Signals, Any] = {}

    def _on_signal(self, *_: Any) -> None:
        self.interrupted = True
        console.print("\nStopping after this step, to leave a checkpoint. A second Ctrl-C stops at once.")
        self.give_back()

    def give_back(self) -> None:
        """Give the signals back, if they are not yet."""
        while self._before:
            signal.signal(*self._before.popitem())

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Take over the signals while training runs; outside of the main thread they are nobody's to take."""
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._on_signal) for each in STOPS}

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Ask for the end, and for a checkpoint where none comes by itself."""
        if self.interrupted:
            control.should_training_stop = True
            comes = args.save_strategy == SaveStrategy.EPOCH and _ends_epoch(state)
            control.should_save = control.should_save or not comes

    def on_epoch_end(self, _args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Take back what the Trainer asks for where the loop was left inside an epoch."""
        if self.interrupted and not _ends_epoch(state):
            control.should_evaluate = control.should_save = False


def _ends_epoch(state: TrainerState) -> bool:
    return bool(float(state.epoch).is_integer() or state.global_step >= state.max_steps)


class PatienceCallback(TrainerCallback):  # type: ignore[misc]
    """Makes early stopping go on where it stood: the Trainer's own counts from nothing after every resumption.

    Args:
        handler: Knows the Trainer's callbacks.
    """

    def __init__(self, handler: CallbackHandler) -> None:
        self._handler = handler

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Let early stopping see the measurements so far, and ask for the end if they have used its patience up."""
        metric = f"eval_{(args.metric_for_best_model or '').removeprefix('eval_')}"
        found = [record[metric] for record in state.log_history if metric in record]
        better = max if args.greater_is_better else min
        for callback in self._handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                past = TrainerState()
                for value in found:
                    callback.check_metric_value(args, past, control, value)
                    past.best_metric = value if past.best_metric is None else better(value, past.best_metric)
                if callback.early_stopping_patience_counter >= callback.early_stopping_patience:
                    control.should_training_stop = True
