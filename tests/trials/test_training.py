"""docs/trials.md, NaN, losses, batches: sections 3a and 3c of the faults that other tools' users met."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from flipkd import FlipkdError, Matcher
from flipkd.losses.masks import label_sets
from flipkd.student.loading import load_student
from flipkd.student.packing import pack
from flipkd.teacher.thresholds import DualThresholds, fit_thresholds, threshold_report
from flipkd.teacher.training import TeacherConfig, fit_teacher
from flipkd.training.config import FlipConfig
from flipkd.training.stage import last_checkpoint
from flipkd.training.trainer import FlipTrainer, WarmupTrainer
from tiny import pairs, student, texts
from training.stages import arguments, joint, signal_of
from trials.runs import base_copy, command, said


@pytest.mark.parametrize("trainer", [WarmupTrainer, FlipTrainer])
def test_a_nan_loss_ends_the_command_with_1_and_writes_no_artefact(trainer, settings, tmp_path, monkeypatch, capsys):
    """Row 4."""
    original = trainer.terms

    def spoil(self, model, batch):
        terms = original(self, model, batch)
        bad = float("nan") if self.state.global_step == 2 else 1.0
        return terms._replace(weighted={name: term * bad for name, term in terms.weighted.items()})

    monkeypatch.setattr(trainer, "terms", spoil)
    made = settings(tmp_path / "run", baseline=False, warmup_epochs=1, epochs=1, fine_tune_teacher=False)
    assert command(made, tmp_path / "run.yaml") == 1
    assert "is not finite at step 3" in said(capsys)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run.work", "run.yaml"]
    kept = [load_file(file) for file in (tmp_path / "run.work").rglob("*.safetensors")]
    assert kept
    assert all(value.isfinite().all() for state in kept for value in state.values())


@pytest.mark.parametrize("step", [2, 5])
def test_a_checkpoint_never_holds_weights_that_are_not_finite(step, tmp_path):
    """Row 4: a last step that overflows is followed by no loss which could tell."""

    class Overflow(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            if state.global_step == step:
                next(p for n, p in model.named_parameters() if ".lora_B." in n).data.fill_(float("inf"))

    trainer = joint(tmp_path, arguments_=arguments(tmp_path, FlipConfig(batch_pairs=8), epochs=1))
    trainer.add_callback(Overflow())
    with pytest.raises(
        FlipkdError, match=r"not finite at step 3|After step 5 of the joint training the adapter is broken"
    ):
        trainer.run()
    assert last_checkpoint(tmp_path) is None


def test_a_teacher_that_overflowed_is_not_kept(models, tmp_path):
    """Row 4, for the teacher: a second call would have taken the folder for a finished one."""
    config = TeacherConfig(epochs=4, batch_size=8, learning_rate=1e30, folds=1)
    with pytest.raises(FlipkdError, match="weights are not finite"):
        fit_teacher(models["teacher"], pairs(16), tmp_path / "teacher", config, seed=0, device="cpu")
    assert not (tmp_path / "teacher" / "all").exists()


def test_a_student_that_answers_nan_gives_no_vector_and_no_answer(artefact):
    """Row 4, in use."""
    matcher = Matcher.from_pretrained(artefact, device="cpu")
    matcher.student.model.get_base_model().get_input_embeddings().weight.data.fill_(float("nan"))
    for ask in (lambda: matcher.encode(["reset my pin"]), lambda: matcher.match("reset my pin", "open account")):
        with pytest.raises(FlipkdError, match="answers NaN or infinity"):
            ask()


def test_what_a_frozen_layer_drops_at_random_is_not_kept(tmp_path):
    """Row 28's kin: GPT-2 has dropout of its own, and the trunk's outputs are computed once, in training mode."""
    made = student("gpt2", trained=True).eval()
    ids = made.template.encode_texts(made.tokenizer, texts(4))
    batch = pack(made.template, ids, [(0, 1), (2, 3)])
    with torch.no_grad():
        plain = made(batch)
        made.use_trunk_cache(tmp_path, 1 << 20)
        made.train()(batch)
        again = made.eval()(batch)
    torch.testing.assert_close(again, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("labels", "compared"), [([1, 1], False), ([0, 0], False), ([1], False), ([0], False), ([1, 0], True)], ids=str
)
def test_batches_of_one_class_or_one_pair_train_what_they_can(labels, compared, tmp_path, monkeypatch):
    """Row 30: finite, the zone between the classes exactly 0 where one is missing, and the rest still learnt."""
    monkeypatch.setattr("flipkd.training.stage.NORMS_EVERY", 1)
    rows = [np.flatnonzero(pairs(40).label == y)[i] for i, y in enumerate(labels)]
    table = pairs(40).select(np.array(rows))
    similarity = np.where(table.label == 1, 0.9, -0.5).astype(np.float32)
    trainer = joint(tmp_path, table=table, signal=signal_of(table, pair_similarity=similarity))
    trainer.args.max_steps = 2
    log = [record for record in trainer.run() if "loss" in record]
    assert all(np.isfinite(value) for record in log for value in record.values())
    assert all((record["mcl_inter"] > 0) == compared for record in log)
    assert all(record["ce_grad_norm"] > 0 for record in log)


def test_accumulation_says_that_it_compares_no_more(tmp_path, capsys):
    """Row 29: 8 x 1 is 1 x 8 for the cross-entropy alone, see tests/training/test_trainer.py."""
    config = FlipConfig(batch_pairs=8, gradient_accumulation_steps=4)
    joint(tmp_path, config=config, arguments_=arguments(tmp_path, config))
    assert "comparisons: within 8 pairs" in said(capsys)


def squeezed(low, high):
    """Similarities of 40 labelled pairs in a range, matches above most non-matches."""
    table = pairs(40)
    rng = np.random.default_rng(0)
    place = np.clip(0.35 + 0.3 * table.label + 0.2 * rng.normal(size=40), 0, 1)
    return table, (low + (high - low) * place).astype(np.float32)


def test_a_teacher_whose_similarities_all_lie_high_teaches_as_one_that_uses_the_whole_range(tmp_path):
    """Row 33, 0.6 to 1.0: the thresholds follow, and the same pairs are trusted."""
    sets = []
    for low in (-1.0, 0.6):
        table, similarity = squeezed(low, 1.0)
        limits = fit_thresholds(similarity, table.label, precision=0.8)
        sets.append(label_sets(*map(torch.from_numpy, (similarity, table.label)), limits.tau_p, limits.tau_n))
        trainer = joint(tmp_path / str(low), table=table, signal=signal_of(table, pair_similarity=similarity))
        trainer.thresholds = limits
        trainer.args.max_steps = 3
        log = [record for record in trainer.run() if "loss" in record]
        assert all(np.isfinite(record["loss"]) and record["mcl_inter"] > 0 for record in log)
    for wide, high in zip(*sets, strict=True):
        assert torch.equal(wide, high)
        assert wide.any()


def test_a_constant_teacher_is_told_and_leaves_the_labels_to_teach(tmp_path, capsys):
    """Row 33, constant."""
    table, similarity = squeezed(0.7, 0.7)
    limits = fit_thresholds(similarity, table.label)
    assert "tells nothing apart" in said(capsys)
    assert threshold_report(similarity, table.label, limits).kept == 40
    trainer = joint(tmp_path, table=table, signal=signal_of(table, pair_similarity=similarity))
    trainer.thresholds = limits
    trainer.args.max_steps = 3
    assert all(np.isfinite(record["loss"]) for record in trainer.run() if "loss" in record)


@pytest.mark.parametrize("spoilt", [8.0, -8.0, 1.01, float("nan"), float("inf")])
def test_similarities_of_another_scale_are_refused_with_their_row(spoilt):
    """Row 33, -8 to 8 and NaN: the thresholds, the report and the signal that training reads."""
    table, similarity = squeezed(-1, 1)
    similarity[5] = spoilt
    limits = DualThresholds(0.5, 0.0, "toy")
    for use in (
        lambda: fit_thresholds(similarity, table.label),
        lambda: threshold_report(similarity, table.label, limits),
        lambda: signal_of(table, pair_similarity=similarity),
    ):
        with pytest.raises(FlipkdError, match=r"1 of 40 are not, first .* at row 5. Convert logits"):
            use()


@pytest.mark.parametrize("spoilt", [8.0, float("nan"), 0.0])
def test_vectors_that_are_not_of_length_one_are_refused_with_their_text(spoilt):
    """Row 33: a matrix of their products would be no matrix of cosines."""
    table = pairs(40)
    made = signal_of(table)
    vectors = made.vectors.copy()
    vectors[3] *= spoilt
    with pytest.raises(FlipkdError, match=f"1 of {len(vectors)} are not, first that of '{table.texts()[3]}'"):
        replace(made, vectors=vectors)


@pytest.mark.parametrize(("tau_n", "tau_p"), [(-8.0, -2.0), (1.0, 2.0), (0.5, 0.2)])
def test_thresholds_of_another_scale_are_refused_before_anything_is_read(tau_n, tau_p, settings, tmp_path, capsys):
    """Row 33, where the user sets them."""
    flags = [f"--tau-n={tau_n}", f"--tau-p={tau_p}"]
    assert command(settings(tmp_path / "run"), tmp_path / "run.yaml", *flags) == 1
    assert f"tau_n {'(' if not tau_n < tau_p else 'is '}{tau_n}" in said(capsys)
    assert not (tmp_path / "run.work").exists()


def test_three_hundred_steps_need_no_more_memory_than_a_hundred(tmp_path):
    """Also seen: memory that grows while training."""

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            with open("/proc/self/statm") as file:
                resident.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    resident = []
    config = FlipConfig(batch_pairs=2, logging_steps=50)
    given = arguments(tmp_path, config, max_steps=300, save_strategy="no")
    trainer = joint(tmp_path, config=config, arguments_=given, made=student(adapt_layers=1))
    trainer.add_callback(Watch())
    trainer.run()
    assert len(resident) == 300
    slope = np.polyfit(np.arange(200), resident[100:], 1)[0]
    # One batch's graph is some 2 MB.
    assert slope < 20_000


@pytest.mark.parametrize("asked", ["flash_attention_2", "flex_attention"])
def test_an_attention_that_a_packed_row_cannot_take_is_said_and_replaced(asked, models, tmp_path, capsys):
    """Also seen: a base that asks for flash attention, which is not installed."""
    base = base_copy(models["student"], tmp_path / "base", _attn_implementation=asked)
    model, _ = load_student(base, device="cpu", cache_dir=tmp_path)
    assert model.config._attn_implementation == "sdpa"
    assert f"attention: sdpa ({base} asks for {asked}" in said(capsys)
