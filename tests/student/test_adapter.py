"""An adapter that is made, merged, saved and loaded, and what is refused."""

import pytest
import torch

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_norms, add_adapter, load_adapter
from flipkd.student.model import Student
from flipkd.student.packing import pack
from flipkd.student.template import Template
from student.reading import run
from tiny import base_model, label_words, student


def test_a_merged_adapter_answers_the_same():
    made = student(adapt_layers="all", trained=True)
    before = run(made)
    made.merge()
    after = run(made)
    torch.testing.assert_close(after.log_odds, before.log_odds, atol=1e-4, rtol=0)
    torch.testing.assert_close(after.vectors, before.vectors, atol=1e-5, rtol=0)


def test_a_disabled_adapter_has_no_vectors():
    made = student(trained=True)
    with torch.no_grad(), made.model.disable_adapter(), pytest.raises(FlipkdError, match="disabled"):
        made(pack(made.template, [(5, 6)], []))


@pytest.mark.parametrize(
    ("option", "complaint"), [({"lora_dropout": 0.1}, "dropout"), ({"use_dora": True}, "plain LoRA")]
)
def test_dropout_and_dora_are_refused(option, complaint):
    from peft import LoraConfig, get_peft_model

    model, words = base_model()
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], **option)
    template = Template.build(words, prompt="text {a} {b} same ?", label_words=label_words(words), max_text_tokens=8)
    with pytest.raises(FlipkdError, match=complaint):
        Student(
            get_peft_model(model, config),
            words,
            template,
            sites=["2.self_attn.q_proj"],
            pooling="mean",
            first_adapted=0,
        )


def test_the_same_seed_draws_the_same_a():
    def downs(seed):
        return torch.cat([p.flatten() for n, p in student(seed=seed).named_parameters() if ".lora_A." in n])

    assert torch.equal(downs(3), downs(3))
    assert not torch.equal(downs(3), downs(4))


def test_an_untrained_adapter_is_refused_on_loading(tmp_path):
    made = student()
    made.model.save_pretrained(tmp_path)
    model, words = base_model()
    with pytest.raises(FlipkdError, match="loaded nothing"):
        load_adapter(
            model, words, made.template, tmp_path, sites=made.sites, pooling="mean", first_adapted=made.first_adapted
        )


@pytest.mark.parametrize("architecture", ["llama", "deepseek"])
def test_a_saved_adapter_answers_the_same(tmp_path, architecture):
    made = student(architecture, trained=True)
    made.model.save_pretrained(tmp_path)
    model, words = base_model(architecture)
    again = load_adapter(
        model, words, made.template, tmp_path, sites=made.sites, pooling="mean", first_adapted=made.first_adapted
    )
    torch.testing.assert_close(run(again).log_odds, run(made).log_odds)
    assert min(adapter_norms(again.model).values()) > 0


def test_a_model_that_does_more_to_its_logits_is_refused():
    model, words = base_model()
    forward = model.forward
    model.forward = lambda *args, **kwargs: _scaled(forward(*args, **kwargs))
    template = Template.build(words, prompt="text {a} {b} same ?", label_words=label_words(words), max_text_tokens=8)
    with pytest.raises(FlipkdError, match="does not know"):
        add_adapter(
            model, words, template, adapt_layers=2, rank=4, alpha=8, site_layer=None, site_modules=None,
            pooling="mean", seed=0,
        )  # fmt: skip


def _scaled(output):
    output.logits = output.logits * 3
    return output


def test_experts_get_no_adapter_since_it_would_be_that_of_all_layers(capsys):
    made = student("deepseek")
    paths = list(adapter_norms(made.model))
    assert {path.partition(".layers.")[2].split(".")[0] for path in paths} == {"2", "3"}
    assert all(".self_attn." in path for path in paths)
    assert "adapted modules: those of the attention" in capsys.readouterr().err


def test_texts_that_do_not_fit_the_model_are_refused():
    with pytest.raises(FlipkdError, match="max-text-tokens"):
        student(max_text_tokens=200)


@pytest.mark.parametrize(
    ("gone", "more"),
    [("layers.3.self_attn.q_proj.lora_A", []), ("layers.3.", []), ("nothing", ["layers.9.lora_A.weight"])],
)
def test_an_adapter_that_lacks_weights_or_has_more_is_refused(tmp_path, gone, more):
    from safetensors.torch import load_file, save_file

    made = student(trained=True)
    made.model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    whole = load_file(file)
    kept = {name: value for name, value in whole.items() if gone not in name}
    save_file(kept | {name: torch.ones(1) for name in more}, file)
    model, words = base_model()
    with pytest.raises(FlipkdError, match="not whole"):
        load_adapter(
            model, words, made.template, tmp_path, sites=made.sites, pooling="mean", first_adapted=made.first_adapted
        )
