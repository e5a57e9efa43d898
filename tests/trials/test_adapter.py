"""docs/trials.md, LoRA, checkpoints, merging: section 3b of the faults that other tools' users met."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, TrainerCallback

from flipkd import FlipkdError, Matcher
from flipkd.student.adapter import adapter_state, add_adapter, load_adapter
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.loading import load_student
from flipkd.student.template import Template
from flipkd.training.config import FlipConfig
from tiny import PROMPT, base_model, config, label_words, pairs, student, tokenizer
from training.stages import arguments, joint, warmup
from trials.runs import base_copy, command, said


@pytest.mark.parametrize("make", [warmup, joint])
def test_a_stage_that_leaves_the_adapter_unchanged_ends_with_an_error(make, tmp_path):
    """Row 15: a learning rate that comes to nothing."""
    trainer = make(tmp_path)
    trainer.args.learning_rate = 0.0
    with pytest.raises(
        FlipkdError, match="left the adapter unchanged in 10 steps: its learning rate, which rises from 0, is 0,"
    ):
        trainer.run()


@pytest.mark.parametrize("flag", ["--learning-rate", "--warmup-learning-rate"])
def test_a_learning_rate_of_zero_is_refused_before_anything_is_read(flag, settings, tmp_path, capsys):
    """Row 15, on the command line."""
    assert command(settings(tmp_path / "run"), tmp_path / "run.yaml", flag, "0") == 1
    assert f"{flag[2:].replace('-', '_')} is 0.0; it must be a number above 0" in said(capsys)
    assert not (tmp_path / "run.work").exists()


def reload(made, folder, base):
    options = {"sites": made.sites, "pooling": made.pooling, "first_adapted": made.first_adapted}
    return load_adapter(base, made.tokenizer, made.template, folder, **options)


def answers(made):
    table = pairs(12, seed=4)
    found = Reader(made).signals(EncodedPairs.of(made, table.text_a, table.text_b))
    return np.stack([found.log_odds, found.similarity])


def test_five_trained_steps_answer_bit_for_bit_the_same_after_reload(tmp_path):
    """Row 16."""
    trainer = joint(tmp_path / "work")
    trainer.args.max_steps = 5
    fresh = answers(trainer.model)
    trainer.run()
    trainer.model.model.save_pretrained(tmp_path / "saved")
    found = answers(trainer.model)
    assert np.abs(found - fresh).max() > 0.01
    np.testing.assert_array_equal(answers(reload(trainer.model, tmp_path / "saved", base_model()[0])), found)


def test_checkpointing_leaves_no_adapter_below_the_site_without_a_gradient(tmp_path):
    """Row 17, in the warm-up, which has no other term: from the second step on, when B is no longer zero."""

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            if state.global_step == 2:
                found.update({n: 0.0 if p.grad is None else float(p.grad.norm()) for n, p in model.named_parameters()})

    found = {}
    settings = FlipConfig(batch_pairs=8, gradient_checkpointing=True)
    trainer = warmup(tmp_path, config=settings, made=student(adapt_layers="all", site_layer=2))
    trainer.add_callback(Watch())
    trainer.args.max_steps = 3
    trainer.run()
    below = [name for name in found if ".lora_" in name and ("layers.0." in name or "layers.1." in name)]
    assert len(below) == 2 * 7 * 2
    assert [name for name in below if not found[name] > 0] == []


def test_one_step_alone_is_not_taken_for_training(tmp_path):
    """Row 15: the learning rate of the first step is 0."""
    trainer = joint(tmp_path)
    trainer.args.max_steps = 1
    with pytest.raises(FlipkdError, match="unchanged in 1 steps"):
        trainer.run()


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "mxfp4"])
def test_a_quantised_base_is_refused(method, models, tmp_path):
    """Row 19: merging into it would round the adapter away."""
    quantised = {"quant_method": method, "load_in_4bit": True, "bits": 4}
    base = base_copy(models["student"], tmp_path / "base", quantization_config=quantised)
    with pytest.raises(FlipkdError, match=rf"is quantised \({method}\)"):
        load_student(base, device="cpu", cache_dir=tmp_path)


def test_tied_embeddings_come_back_tied_and_answer_the_same(tmp_path):
    """Row 20: neither embeddings nor output layer is ever adapted, so the two cannot part."""
    words = tokenizer()
    shape = config("llama", len(words))
    shape.tie_word_embeddings = True
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(shape).save_pretrained(tmp_path / "base")
    words.save_pretrained(tmp_path / "base")
    base, _ = load_student(str(tmp_path / "base"), device="cpu", cache_dir=tmp_path)
    template = Template.build(words, prompt=PROMPT, label_words=label_words(words), max_text_tokens=40)
    options = {"site_layer": None, "site_modules": None, "pooling": "last", "seed": 0}
    made = add_adapter(base, words, template, adapt_layers="all", rank=4, alpha=8, **options)
    trainer = joint(tmp_path / "work", made=made)
    trainer.args.max_steps = 3
    trainer.run()
    made.model.save_pretrained(tmp_path / "saved")
    assert not [n for n in load_file(tmp_path / "saved" / "adapter_model.safetensors") if "embed" in n or "head" in n]
    again, _ = load_student(str(tmp_path / "base"), device="cpu", cache_dir=tmp_path)
    found = reload(made, tmp_path / "saved", again)
    found.merge()
    np.testing.assert_allclose(answers(found), answers(made), atol=1e-4)
    assert again.get_output_embeddings().weight.data_ptr() == again.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize(("make", "metric"), [(joint, "loss"), (joint, "eval_ap"), (joint, "auc")])
def test_a_metric_that_is_measured_may_be_named_either_way(make, metric, tmp_path):
    """Row 23."""
    made = arguments(tmp_path, metric_for_best_model=metric)
    assert make(tmp_path, arguments_=made).args.metric_for_best_model == metric


def test_a_metric_that_is_not_measured_is_refused_before_the_first_step(tmp_path):
    """Row 23, with the names there are."""
    with pytest.raises(FlipkdError, match="'f1'; use one of eval_loss, eval_ap, eval_auc"):
        joint(tmp_path, arguments_=arguments(tmp_path, metric_for_best_model="f1"))


def test_validation_of_one_label_is_refused_before_the_first_step(tmp_path):
    """Row 23: AP and AUC would have no value after the first pass."""
    one = pairs(10).select(np.flatnonzero(pairs(10).label))
    with pytest.raises(FlipkdError, match="all of one label"):
        joint(tmp_path, validation=one)


def test_the_same_seed_begins_with_the_same_adapter_and_loss_and_says_so(tmp_path, capsys):
    """Row 25: A is drawn before any trainer could set the seed."""

    def first(name, seed, disturbed):
        torch.manual_seed(disturbed)
        np.random.seed(disturbed)  # noqa: NPY002 - the global state is what a trial must disturb
        made = student(seed=seed)
        start = adapter_state(made)
        line = said(capsys).split("adapter's start: ")[1].split()[0]
        trainer = joint(tmp_path / name, made=made)
        trainer.args.max_steps = 2
        return line, {key: value.clone() for key, value in start.items()}, trainer.run()[0]["loss"]

    one, same, other = first("a", 0, 11), first("b", 0, 12), first("c", 1, 11)
    assert one[0] == same[0] != other[0]
    assert all(torch.equal(one[1][name], same[1][name]) for name in one[1])
    assert one[2] == same[2]


def test_an_adapter_with_nan_in_it_is_refused(artefact, tmp_path):
    """Row 4, in what was written before: NaN is not taken for trained."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(artefact, folder)
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    name = sorted(state)[-1]
    state[name][0, 0] = float("nan")
    save_file(state, file)
    with pytest.raises(FlipkdError, match=f"1 of {len(state)} weights hold NaN or infinity"):
        Matcher.from_pretrained(folder, device="cpu")
