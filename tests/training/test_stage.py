"""What both stages share on a tiny student: how they stop, what they keep, and that they resume exactly."""

import re

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_state
from flipkd.training.arguments import training_arguments
from flipkd.training.config import FlipConfig
from flipkd.training.stage import last_checkpoint, load_adapter_state
from tiny import pairs, student
from training.stages import StopAt, arguments, joint, warmup


@pytest.mark.parametrize("make", [warmup, joint])
def test_ten_steps_equal_five_and_five_more(make, tmp_path):
    """Seven batches make a pass, so the stop falls inside one."""

    def stage(name):
        config = FlipConfig(batch_pairs=6, logging_steps=1)
        trainer = make(tmp_path / name, config=config)
        trainer.model.use_trunk_cache(tmp_path / name / "trunk", 1 << 20)
        trainer.args.max_steps = 10
        return trainer

    straight = stage("straight")
    whole = straight.run()
    first = stage("halves")
    first.add_callback(StopAt(5))
    first.run()
    second = stage("halves")
    resumed = second.run()
    assert straight.state.global_step == second.state.global_step == 10
    losses = [[record["loss"] for record in log if "loss" in record] for log in (whole, resumed)]
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-6)
    for name, value in adapter_state(straight.model).items():
        torch.testing.assert_close(adapter_state(second.model)[name], value, atol=1e-6, rtol=0)


def test_a_torn_checkpoint_is_passed_over(tmp_path):
    first = joint(tmp_path)
    first.add_callback(StopAt(3))
    first.run()
    (tmp_path / "checkpoint-9").mkdir()
    (tmp_path / "checkpoint-9" / "model.safetensors").write_bytes(b"half")
    assert last_checkpoint(tmp_path).endswith("checkpoint-3")


def test_a_checkpoint_holds_the_adapter_alone(tmp_path):
    from safetensors.torch import load_file

    joint(tmp_path).run()
    stored = load_file(f"{last_checkpoint(tmp_path)}/model.safetensors")
    assert stored
    assert all(".lora_" in name for name in stored)


def test_a_nan_loss_stops_with_the_step_and_the_lines_of_the_pairs(tmp_path):
    table = pairs(80).select(np.arange(40, 80))

    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 2:
                next(p for n, p in model.named_parameters() if ".lora_B." in n).data.fill_(float("nan"))

    with pytest.raises(FlipkdError, match=r"step 3.*nan") as caught:
        joint(tmp_path, table=table, callbacks=[Spoil()]).run()
    said = re.search(rf"The batch: {table.source}, lines ([\d, ]+)\.", str(caught.value))
    assert {int(line) for line in said[1].split(", ")} <= set(table.line)
    assert last_checkpoint(tmp_path) is None


def test_a_nan_gradient_stops_before_the_step(tmp_path):
    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 1:
                next(p for p in model.parameters() if p.requires_grad).register_hook(lambda g: g * float("nan"))

    with pytest.raises(FlipkdError, match=r"gradient .* not finite at step 2"):
        joint(tmp_path, callbacks=[Spoil()]).run()


def test_reentrant_checkpointing_is_refused(tmp_path):
    given = arguments(tmp_path, activation_checkpointing=True, activation_checkpointing_kwargs={"use_reentrant": True})
    with pytest.raises(FlipkdError, match="use_reentrant"):
        joint(tmp_path, arguments_=given)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_mixed_precision_is_refused(tmp_path, name):
    given = arguments(tmp_path)
    setattr(given, name, True)
    with pytest.raises(FlipkdError, match="would round the log-odds"):
        joint(tmp_path, arguments_=given)


def test_early_stopping_keeps_the_best_checkpoint(tmp_path):
    from transformers import EarlyStoppingCallback

    config = FlipConfig(batch_pairs=8, early_stopping_patience=1)
    given = training_arguments(config, str(tmp_path), epochs=8, learning_rate=0.05, evaluate=True, device="cpu")
    trainer = joint(
        tmp_path, config=config, arguments_=given, validation=pairs(30, seed=3), callbacks=[EarlyStoppingCallback(1)]
    )
    log = trainer.run()
    measured = [record["eval_ap"] for record in log if "eval_ap" in record]
    assert trainer.state.best_metric == max(measured)
    kept = trainer.model
    made = student()
    load_adapter_state(made, f"{trainer.state.best_model_checkpoint}/model.safetensors")
    for name, value in adapter_state(made).items():
        torch.testing.assert_close(adapter_state(kept)[name], value)


def test_another_adapters_state_is_refused_whole(tmp_path):
    from safetensors.torch import save_file

    made = student()
    state = adapter_state(made)
    state.pop(next(iter(state)))
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(FlipkdError, match="1 parameter names differ"):
        load_adapter_state(made, tmp_path / "x.safetensors")
