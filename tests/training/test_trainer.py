"""Both stages on a tiny student: what they log, how they stop, and that they resume exactly."""

import os
import signal as signals

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from flipkd.errors import FlipkdError
from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.thresholds import DualThresholds
from flipkd.training.config import FlipConfig
from flipkd.training.stage import adapter_state, last_checkpoint, load_adapter_state
from flipkd.training.trainer import FlipTrainer, WarmupTrainer, training_arguments
from tiny import pairs, student, texts

LIMITS = DualThresholds(0.6, 0.2, "toy")


def signal_of(table, further=0, **options):
    """Vectors of a made-up teacher: matches near, others far."""
    rng = np.random.default_rng(0)
    count = len(table.texts()) + further
    vectors = rng.normal(size=(count, 6)).astype(np.float32)
    where = {text: i for i, text in enumerate(table.texts())}
    for a, b, y in zip(table.text_a, table.text_b, table.label, strict=True):
        if y:
            vectors[where[b]] = vectors[where[a]] + 0.3 * vectors[where[b]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = ([where[text] for text in side] for side in (table.text_a, table.text_b))
    fields = {
        "texts": table.texts() + [""] * further,
        "vectors": vectors,
        "geometry": np.zeros(count, dtype=np.int64),
        "pair_similarity": (vectors[a] * vectors[b]).sum(axis=1),
        "mask_pairs": False,
        "calibration": np.array([[5.0, -2.0]]),
    }
    return TeacherSignal(**(fields | options))


def arguments(folder, config=None, epochs=2, **options):
    made = training_arguments(
        config or FlipConfig(), str(folder), epochs=epochs, learning_rate=5e-3, evaluate=False, device="cpu"
    )
    made.disable_tqdm = True
    for name, value in options.items():
        setattr(made, name, value)
    return made


def joint(folder, *, table=None, made=None, signal="made", config=None, arguments_=None, **options):
    table = table or pairs(40)
    config = config or FlipConfig(batch_pairs=8, logging_steps=1)
    return FlipTrainer(
        made or student(),
        arguments_ or arguments(folder, config),
        config=config,
        pairs=table,
        signal=signal_of(table) if signal == "made" else signal,
        thresholds=LIMITS,
        **options,
    )


def warmup(folder, *, further=0, config=None, made=None):
    table, config = pairs(40), config or FlipConfig(batch_pairs=8, logging_steps=1)
    return WarmupTrainer(
        made or student(),
        arguments(folder, config),
        config=config,
        pairs=table,
        signal=signal_of(table, further),
        unlabelled=texts(further, seed=9),
    )


def vectors_of(trainer, batch):
    with torch.no_grad():
        return trainer.model(batch["packed"]).vectors


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def test_the_joint_loss_falls_and_every_term_and_norm_is_logged(tmp_path):
    config = FlipConfig(batch_pairs=8, logging_steps=1)
    log = joint(tmp_path, config=config, arguments_=arguments(tmp_path, config, epochs=6)).run()
    steps = [record for record in log if "loss" in record]
    assert steps[-1]["loss"] < steps[0]["loss"]
    for name in ("ce", "soft", "mcl", "distillation"):
        assert all(np.isfinite(record[name]) for record in steps)
        assert all(record[f"{name}_grad_norm"] > 0 for record in steps)
    assert {"mcl_inter", "mcl_intra", "kl", "squared"} <= steps[0].keys()
    assert steps[0]["loss"] == pytest.approx(
        sum(steps[0][name] for name in ("ce", "soft", "mcl", "distillation")), rel=1e-5
    )


def test_matrix_sets_compare_every_a_with_every_b(tmp_path):
    config = FlipConfig(batch_pairs=8, logging_steps=1, sets="matrix")
    trainer = joint(tmp_path, config=config)
    batch = next(iter(trainer.get_train_dataloader()))
    similarity, teacher, positive, negative = trainer._compared(None, None, vectors_of(trainer, batch), batch)
    assert similarity.shape == teacher.shape == (64,)
    label = batch["label"].bool()
    trusted = batch["pair_teacher"]
    assert torch.equal(positive.view(8, 8).diagonal(), label & (trusted >= LIMITS.tau_n))
    assert torch.equal(negative.view(8, 8).diagonal(), ~label & (trusted <= LIMITS.tau_p))
    assert negative.view(8, 8).sum() > (~label).sum()


def test_matrix_sets_need_a_teacher_of_texts(tmp_path):
    with pytest.raises(FlipkdError, match="cross-encoder"):
        joint(tmp_path, config=FlipConfig(sets="matrix"), signal=signal_of(pairs(40), vectors=None))


def test_the_decoder_learns_from_the_teachers_probability_beside_the_label(tmp_path):
    trainer = joint(tmp_path, config=FlipConfig(batch_pairs=8, soft_weight=2.0))
    batch = next(iter(trainer.get_train_dataloader()))
    made = trainer.terms(trainer.model, batch).weighted
    other = trainer.terms(trainer.model, {**batch, "soft": 1 - batch["soft"]}).weighted
    assert other["ce"] == made["ce"]
    log_odds = trainer.model(batch["packed"]).log_odds
    # Twice the cross-entropy, which is linear in the target.
    expected = 2 * ((1 - 2 * batch["soft"]) * log_odds.detach()).mean()
    assert (made["soft"] - other["soft"]).item() == pytest.approx(expected.item(), abs=1e-5)


def test_only_the_adapter_is_trained(tmp_path):
    made = student()
    before = {n: p.detach().clone() for n, p in made.named_parameters()}
    joint(tmp_path, made=made).run()
    changed = {n for n, p in made.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all(".lora_" in name for name in changed)


def test_fine_tuning_computes_no_vectors(tmp_path):
    made = student()
    reads = []
    original = made._reader.reading
    made._reader.reading = lambda wanted: reads.append(wanted) or original(wanted)
    log = joint(tmp_path, made=made, signal=None).run()
    assert reads
    assert not any(reads)
    assert {"ce", "ce_grad_norm"} <= log[0].keys()
    assert "mcl" not in log[0]


def test_the_warm_up_reads_no_label_and_teaches_the_teachers_similarities(tmp_path):
    trainer = warmup(tmp_path)
    trainer.args.num_train_epochs = 12
    log = [record for record in trainer.run() if "loss" in record]
    assert log[-1]["squared"] < 0.5 * log[0]["squared"]


def test_the_warm_up_leaves_the_layers_above_the_site_alone(tmp_path):
    trainer = warmup(tmp_path)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.run()
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert not any(".lora_B." in n and "layers.3." in n for n in changed)


def test_further_texts_are_learnt_too(tmp_path):
    trainer = warmup(tmp_path, further=24)
    seen = {item for batch in trainer.get_train_dataloader() for item in batch["rows"].tolist()}
    assert seen == set(range(40 + 24))


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


def test_ctrl_c_leaves_a_checkpoint_and_the_handler_as_it_was(tmp_path):
    class Press(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                os.kill(os.getpid(), signals.SIGINT)

    before = signals.getsignal(signals.SIGINT)
    trainer = joint(tmp_path, callbacks=[Press()])
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert last_checkpoint(tmp_path).endswith("checkpoint-4")
    assert signals.getsignal(signals.SIGINT) is before


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


def test_a_nan_loss_stops_with_the_step_and_the_rows(tmp_path):
    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 2:
                next(p for n, p in model.named_parameters() if ".lora_B." in n).data.fill_(float("nan"))

    with pytest.raises(FlipkdError, match=r"step 3.*rows \(from 0\): \[\d+") as caught:
        joint(tmp_path, callbacks=[Spoil()]).run()
    assert "nan" in str(caught.value)
    assert last_checkpoint(tmp_path) is None


def test_a_nan_gradient_stops_before_the_step(tmp_path):
    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 1:
                next(p for p in model.parameters() if p.requires_grad).register_hook(lambda g: g * float("nan"))

    with pytest.raises(FlipkdError, match=r"gradient .* not finite at step 2"):
        joint(tmp_path, callbacks=[Spoil()]).run()


def test_a_batch_in_which_everything_is_filtered_still_trains_the_decoder(tmp_path):
    table = pairs(40)
    # The teacher contradicts every label.
    against = np.where(table.label == 1, -0.9, 0.9).astype(np.float32)
    log = joint(tmp_path, table=table, signal=signal_of(table, pair_similarity=against)).run()
    assert all(record["mcl"] == 0 for record in log if "mcl" in record)
    assert log[0]["ce_grad_norm"] > 0


def test_a_pair_only_teacher_gives_the_squared_error_alone(tmp_path):
    table = pairs(40)
    log = joint(tmp_path, table=table, signal=signal_of(table, vectors=None)).run()
    assert "squared" in log[0]
    assert "kl" not in log[0]


def test_gradient_accumulation_gives_the_same_cross_entropy_step(tmp_path):
    """1 x 8 = 8 x 1 for the labels' term; MCL compares within a batch and is not asked here."""

    def trained(batch, accumulate):
        config = FlipConfig(batch_pairs=batch, gradient_accumulation_steps=accumulate, directed=True)
        made = student()
        given = arguments(tmp_path / str(batch), config, max_steps=1, warmup_steps=0)
        FlipTrainer(made, given, config=config, pairs=pairs(8)).run()
        return adapter_state(made)

    once, eight = trained(8, 1), trained(2, 4)
    for name, value in once.items():
        torch.testing.assert_close(eight[name], value, atol=2e-4, rtol=0)


def test_gradient_checkpointing_trains_alike(tmp_path):
    def trained(checkpointing):
        config = FlipConfig(batch_pairs=8, gradient_checkpointing=checkpointing)
        made = student()
        joint(tmp_path / str(checkpointing), made=made, config=config).run()
        return adapter_state(made)

    plain, saving = trained(False), trained(True)
    for name, value in plain.items():
        torch.testing.assert_close(saving[name], value, atol=1e-5, rtol=0)


def test_reentrant_checkpointing_is_refused(tmp_path):
    given = arguments(tmp_path, activation_checkpointing=True, activation_checkpointing_kwargs={"use_reentrant": True})
    with pytest.raises(FlipkdError, match="use_reentrant"):
        joint(tmp_path, arguments_=given)


def test_a_wrong_best_metric_is_refused_before_training(tmp_path):
    with pytest.raises(FlipkdError, match="eval_ap"):
        joint(tmp_path, arguments_=arguments(tmp_path, metric_for_best_model="eval_bleu"))


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
