"""Stops: by Ctrl-C or SIGTERM, by a kill, and by patience, which must not differ from no stop at all."""

import os
import signal as signals
from threading import Thread

import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_state
from flipkd.training.arguments import training_arguments
from flipkd.training.config import FlipConfig
from flipkd.training.stage import last_checkpoint
from tiny import pairs
from training.stages import arguments, joint

STEPS = 5
"""Of a pass: 40 pairs in batches of 8."""


class Press(TrainerCallback):
    """Ctrl-C, or another signal, in the step `step`, from 1; notes the step of each checkpoint."""

    def __init__(self, step, signal=signals.SIGINT):
        self.step = step
        self.signal = signal
        self.saved = []

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), self.signal)

    def on_save(self, args, state, control, **kwargs):
        self.saved.append(state.global_step)


class Kill(TrainerCallback):
    """Ends the run in the step `step`, with no word and no checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            raise RuntimeError("killed")


def patient(folder, patience, *callbacks):
    """A joint stage of up to eight passes that stops early."""
    config = FlipConfig(batch_pairs=8, early_stopping_patience=patience)
    given = training_arguments(config, str(folder), epochs=8, learning_rate=5e-3, evaluate=True, device="cpu")
    given.disable_tqdm = True
    trainer = joint(folder, config=config, arguments_=given, validation=pairs(30, seed=3))
    for callback in (EarlyStoppingCallback(patience), *callbacks):
        trainer.add_callback(callback)
    return trainer


def measured(log):
    return [record["eval_ap"] for record in log if "eval_ap" in record]


@pytest.fixture
def curve(monkeypatch):
    """Make validation give these APs, one a measurement."""

    def set_to(*values):
        left = iter(values)
        monkeypatch.setattr("sklearn.metrics.average_precision_score", lambda *_: next(left))

    return set_to


@pytest.mark.parametrize("strategy", ["epoch", "steps", "no"])
@pytest.mark.parametrize("step", [4, STEPS, 2 * STEPS])
def test_ctrl_c_leaves_one_checkpoint_and_the_handler_as_it_was(tmp_path, step, strategy):
    """A checkpoint written twice could be torn by a second Ctrl-C, and count as whole."""
    before, press = signals.getsignal(signals.SIGINT), Press(step)
    trainer = joint(tmp_path, callbacks=[press], arguments_=arguments(tmp_path, save_strategy=SaveStrategy(strategy)))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert press.saved[-1] == step
    assert len(set(press.saved)) == len(press.saved)
    assert last_checkpoint(tmp_path).endswith(f"checkpoint-{step}")
    assert signals.getsignal(signals.SIGINT) is before


def test_sigterm_leaves_a_checkpoint_too(tmp_path):
    before, press = signals.getsignal(signals.SIGTERM), Press(4, signals.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        joint(tmp_path, callbacks=[press]).run()
    assert press.saved == [4]
    assert signals.getsignal(signals.SIGTERM) is before


def test_the_trainers_own_train_does_not_return_as_if_done(tmp_path):
    """A script would save what was hardly trained."""
    with pytest.raises(KeyboardInterrupt):
        joint(tmp_path, callbacks=[Press(2)]).train()
    assert last_checkpoint(tmp_path).endswith("checkpoint-2")


@pytest.mark.parametrize("step", [STEPS + 2, 2 * STEPS])
def test_a_run_that_ctrl_c_stopped_measures_and_ends_as_one_that_it_did_not(tmp_path, step):
    straight = patient(tmp_path / "straight", 8)
    whole = straight.run()
    with pytest.raises(KeyboardInterrupt):
        patient(tmp_path / "halves", 8, Press(step)).run()
    second = patient(tmp_path / "halves", 8)
    assert measured(second.run()) == pytest.approx(measured(whole))
    for name, value in adapter_state(straight.model).items():
        torch.testing.assert_close(adapter_state(second.model)[name], value, atol=1e-6, rtol=0)


def test_patience_goes_on_where_a_kill_left_it(tmp_path, curve):
    curve(0.80, 0.79)
    with pytest.raises(RuntimeError, match="killed"):
        patient(tmp_path, 2, Kill(2 * STEPS + 1)).run()
    curve(0.78, 0.82, 0.83)
    assert measured(patient(tmp_path, 2).run()) == [0.80, 0.79, 0.78]


def test_patience_after_a_kill_takes_what_is_hardly_better_for_no_better(tmp_path, curve):
    def stage(*callbacks):
        trainer = patient(tmp_path, 2, *callbacks)
        trainer.pop_callback(EarlyStoppingCallback)
        trainer.add_callback(EarlyStoppingCallback(2, early_stopping_threshold=0.01))
        return trainer

    curve(0.800, 0.801)
    with pytest.raises(RuntimeError, match="killed"):
        stage(Kill(2 * STEPS + 1)).run()
    curve(0.802, 0.803)
    assert measured(stage().run()) == [0.800, 0.801, 0.802]


def test_a_run_that_was_stopped_in_its_last_step_trains_no_more(tmp_path):
    """Of a pass and a half: the Trainer would begin the half again."""

    def stage(*callbacks):
        return joint(tmp_path, arguments_=arguments(tmp_path, epochs=1.5), callbacks=list(callbacks))

    steps = 8  # Of 7.5.
    with pytest.raises(KeyboardInterrupt):
        stage(Press(steps)).run()
    again = stage()
    again.run()
    assert again.state.global_step == steps


def test_a_better_pass_after_a_kill_begins_the_patience_anew(tmp_path, curve):
    curve(0.80, 0.79)
    with pytest.raises(RuntimeError, match="killed"):
        patient(tmp_path, 2, Kill(2 * STEPS + 1)).run()
    curve(0.81, 0.70, 0.70, 0.90)
    assert measured(patient(tmp_path, 2).run()) == [0.80, 0.79, 0.81, 0.70, 0.70]


def test_a_run_whose_patience_was_used_up_trains_no_more(tmp_path, curve):
    """Killed behind its last checkpoint, before what it had learnt was kept."""
    curve(0.80, 0.79, 0.78)
    first = patient(tmp_path, 2)
    first.run()
    again = patient(tmp_path, 2)
    again.run()
    assert again.state.global_step == first.state.global_step == 3 * STEPS
    for name, value in adapter_state(first.model).items():
        torch.testing.assert_close(adapter_state(again.model)[name], value, atol=0, rtol=0)


def test_a_stage_that_fails_gives_the_handler_back(tmp_path):
    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            next(p for n, p in model.named_parameters() if ".lora_B." in n).data.fill_(float("nan"))

    before = signals.getsignal(signals.SIGINT)
    with pytest.raises(FlipkdError, match="not finite"):
        joint(tmp_path, callbacks=[Spoil()]).run()
    assert signals.getsignal(signals.SIGINT) is before


def test_a_thread_may_train(tmp_path):
    thread = Thread(target=joint(tmp_path).run)
    thread.start()
    thread.join()
    assert last_checkpoint(tmp_path).endswith(f"checkpoint-{2 * STEPS}")
