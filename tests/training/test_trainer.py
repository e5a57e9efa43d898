"""Both stages on a tiny student: what they compare, learn and log."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_state
from flipkd.training.config import FlipConfig
from flipkd.training.trainer import FlipTrainer, WarmupTrainer
from tiny import pairs, student, texts
from training.stages import LIMITS, arguments, joint, signal_of, vectors_of, warmup


def test_the_joint_loss_falls_and_every_term_is_logged_with_its_norm_now_and_then(tmp_path):
    config = FlipConfig(batch_pairs=8, logging_steps=1)
    log = joint(tmp_path, config=config, arguments_=arguments(tmp_path, config, epochs=6)).run()
    steps = [record for record in log if "loss" in record]
    assert steps[-1]["loss"] < steps[0]["loss"]
    for name in ("ce", "soft", "mcl", "distillation"):
        assert all(np.isfinite(record[name]) for record in steps)
        norms = {record["step"]: record[f"{name}_grad_norm"] for record in steps if f"{name}_grad_norm" in record}
        assert list(norms) == [1, *range(5, len(steps) + 1, 5)]
        assert all(norm > 0 for norm in norms.values())
    assert {"mcl_inter", "mcl_intra", "kl", "squared"} <= steps[0].keys()
    assert steps[0]["loss"] == pytest.approx(
        sum(steps[0][name] for name in ("ce", "soft", "mcl", "distillation")), rel=1e-5
    )


def test_what_is_logged_changes_nothing_that_is_learnt(tmp_path):
    learnt = []
    for steps in (1, 1000):
        config = FlipConfig(batch_pairs=8, logging_steps=steps)
        trainer = joint(tmp_path / str(steps), config=config)
        trainer.run()
        learnt.append(adapter_state(trainer.model))
    assert all(torch.equal(learnt[0][name], value) for name, value in learnt[1].items())


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


def test_further_texts_do_not_move_the_ceiling_of_random_pairs(tmp_path):
    table, config = pairs(40), FlipConfig(batch_pairs=8, sets="matrix")
    alone, beside = (
        joint(tmp_path, table=table, config=config, signal=signal_of(table, further))._random_ceiling
        for further in ([], texts(24, seed=9))
    )
    assert alone == beside


def test_a_warm_up_by_a_signal_of_other_texts_is_refused(tmp_path):
    """Vectors would stand for other texts."""
    table, config = pairs(40), FlipConfig(batch_pairs=8)
    for unlabelled in (["one", "two", "two"], ["two", "one"], None):
        with pytest.raises(FlipkdError, match=rf"is of 2 unlabelled texts and here are {len(unlabelled or [])}"):
            WarmupTrainer(
                student(), arguments(tmp_path, config), config=config, pairs=table,
                signal=signal_of(table, ["one", "two"]), unlabelled=unlabelled,
            )  # fmt: skip


@pytest.mark.parametrize("rows", [np.arange(24), np.arange(40)[::-1].copy()], ids=["a share", "another order"])
def test_a_joint_training_by_a_signal_of_other_pairs_is_refused(tmp_path, rows):
    """Each pair would learn the similarity of another."""
    table = pairs(40)
    with pytest.raises(FlipkdError, match="of other training pairs"):
        joint(tmp_path, table=table.select(rows), signal=signal_of(table))


@pytest.mark.parametrize(("batch_pairs", "times"), [(32, 0), (128, 1)])
def test_the_memory_that_matrix_sets_take_is_said(tmp_path, capsys, batch_pairs, times):
    joint(tmp_path, config=FlipConfig(sets="matrix", batch_pairs=batch_pairs))
    assert " ".join(capsys.readouterr().err.split()).count("tensors of up to 1 GB each") == times


def test_sets_by_a_teacher_that_repeats_the_labels_are_warned_of(tmp_path, capsys):
    config = FlipConfig(batch_pairs=8, sets="thresholds")
    joint(tmp_path, config=config)
    assert "repeats them" not in capsys.readouterr().err
    joint(tmp_path, config=config, signal=signal_of(pairs(40), mask_pairs=True))
    assert "repeats them" in capsys.readouterr().err


def test_soft_labels_of_a_teacher_that_knows_the_labels_are_not_used(tmp_path):
    made = {}
    for masked in (False, True):
        trainer = joint(tmp_path / str(masked), signal=signal_of(pairs(40), mask_pairs=masked))
        made[masked] = trainer.terms(trainer.model, next(iter(trainer.get_train_dataloader()))).weighted
    assert "soft" in made[False]
    assert "soft" not in made[True]


@pytest.mark.parametrize(
    ("setting", "term"),
    [
        ("mcl_weight", "mcl"),
        ("mcl_temperature", "mcl"),
        ("margin_positive", "mcl"),
        ("margin_negative", "mcl"),
        ("intra_weight", "mcl"),
        ("intra_scale", "mcl"),
        ("intra_gap", "mcl"),
        ("distillation_weight", "distillation"),
        ("distillation_temperature", "distillation"),
        ("squared_weight", "distillation"),
        ("soft_weight", "soft"),
    ],
)
def test_each_setting_of_a_loss_moves_its_term_and_no_other(tmp_path, setting, term):
    made = []
    for factor in (1, 3):
        config = FlipConfig(batch_pairs=16)
        setattr(config, setting, factor * getattr(config, setting))
        trainer = joint(tmp_path / str(factor), config=config)
        made.append(trainer.terms(trainer.model, next(iter(trainer.get_train_dataloader()))).weighted)
    assert {name for name in made[0] if made[0][name] != made[1][name]} == {term}


@pytest.mark.parametrize("directed", [False, True])
def test_both_orders_are_trained_but_where_the_order_has_a_meaning(tmp_path, directed):
    trainer = joint(tmp_path, config=FlipConfig(batch_pairs=8, directed=directed))
    assert (max(item for batch in trainer._batches for item in batch) < 40) == directed


def test_the_gradient_is_clipped_where_the_settings_say(tmp_path):
    assert arguments(tmp_path, FlipConfig(max_grad_norm=0.25)).max_grad_norm == 0.25


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
    labelled = pairs(40)
    config = FlipConfig(batch_pairs=8, logging_steps=1)
    trainer = WarmupTrainer(
        student(), arguments(tmp_path, config, epochs=12), config=config, pairs=replace(labelled, label=None),
        signal=signal_of(labelled),
    )  # fmt: skip
    log = [record for record in trainer.run() if "loss" in record]
    assert log[-1]["squared"] < 0.5 * log[0]["squared"]


def test_the_warm_up_leaves_the_layers_above_the_site_alone(tmp_path):
    trainer = warmup(tmp_path, made=student(adapt_layers="all", site_layer=1))
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.run()
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert any("layers.1." in n and ".lora_A." in n for n in changed)
    assert not any("layers.2." in n or "layers.3." in n for n in changed)


def test_further_texts_are_learnt_too(tmp_path):
    trainer = warmup(tmp_path, further=24)
    seen = {item for batch in trainer.get_train_dataloader() for item in batch["rows"].tolist()}
    assert seen == set(range(40 + 24))


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


def test_a_cross_encoder_that_knows_the_labels_teaches_nothing_by_its_similarities(tmp_path):
    signals = {masked: signal_of(pairs(40), vectors=None, mask_pairs=masked) for masked in (False, True)}
    made = {}
    for masked, signal in signals.items():
        trainer = joint(tmp_path / str(masked), signal=signal)
        made[masked] = trainer.terms(trainer.model, next(iter(trainer.get_train_dataloader()))).parts["squared"].item()
    assert made[False] > 0
    assert made[True] == 0


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
        made, runs = student(), []
        attention = made.model.get_base_model().get_decoder().layers[-1].self_attn
        attention.register_forward_pre_hook(lambda *_: runs.append(1))
        joint(tmp_path / str(checkpointing), made=made, config=config).run()
        return adapter_state(made), len(runs)

    (plain, once), (saving, twice) = trained(False), trained(True)
    assert twice > once
    for name, value in plain.items():
        torch.testing.assert_close(saving[name], value, atol=1e-5, rtol=0)
