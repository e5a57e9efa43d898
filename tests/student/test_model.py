"""Every rule of docs/method.md sections 2 and 3 about reading the student."""

from dataclasses import replace

import pytest
import torch

from flipkd.errors import FlipkdError
from flipkd.student.model import Student
from student.reading import ENDS, encoded, own_log_odds, own_vectors, run
from tiny import base_model, student

SITES = {
    "before the attention": {},
    "below the last layer": {"site_layer": 2},
    "behind the attention": {"site_layer": 2, "site_modules": ["self_attn.o_proj", "mlp.down_proj"]},
    "behind the last attention": {"site_layer": 3, "site_modules": ["self_attn.q_proj", "self_attn.o_proj"]},
}


def test_log_odds_are_the_models_own(made):
    torch.testing.assert_close(run(made).log_odds, own_log_odds(made), atol=1e-4, rtol=0)


def test_vectors_are_those_of_the_texts_alone(made):
    torch.testing.assert_close(run(made).vectors, own_vectors(made), atol=1e-5, rtol=0)


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
@pytest.mark.parametrize("adapt_layers", [2, "all"])
def test_wherever_the_sites_are_nothing_changes(site, adapt_layers):
    made = student(adapt_layers=adapt_layers, trained=True, **site)
    output = run(made)
    torch.testing.assert_close(output.log_odds, own_log_odds(made), atol=1e-4, rtol=0)
    torch.testing.assert_close(output.vectors, own_vectors(made), atol=1e-5, rtol=0)
    torch.testing.assert_close(run(made, []).vectors, output.vectors, atol=1e-5, rtol=0)


def test_sites_in_several_layers_are_read_together():
    made = student(adapt_layers="all", trained=True)
    layers = [*(f"1.{path.split('.', 1)[1]}" for path in made.sites), *made.sites]
    several = Student(
        made.model, made.tokenizer, made.template, sites=layers, pooling="mean", first_adapted=made.first_adapted
    )
    torch.testing.assert_close(run(several).vectors, own_vectors(several), atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2", "granite", "cohere", "deepseek"])
@pytest.mark.parametrize("adapt_layers", [2, "all"])
def test_what_a_model_does_to_its_embeddings_attention_and_logits_is_done_once(architecture, adapt_layers):
    """Softcapped attention, learnt positions, factors of embeddings and logits, keys of low rank: as by the model."""
    model, _ = base_model(architecture)
    made = student(architecture, trained=True, adapt_layers=adapt_layers)
    ids, (no, yes) = encoded(made), made.template.label_ids
    own = adapted_copy(model, made)
    with torch.no_grad():
        logits = [own(input_ids=torch.tensor([made.template.pair(ids[a], ids[b])])).logits[0, -1] for a, b in ENDS]
    expected = torch.stack([row[yes] - row[no] for row in logits])
    torch.testing.assert_close(run(made).log_odds, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(run(made).vectors, own_vectors(made), atol=1e-5, rtol=0)


def adapted_copy(model, made):
    """The same weights in a model whose attention is its own."""
    from peft import get_peft_model

    own = get_peft_model(model, made.model.peft_config["default"])
    own.load_state_dict(made.model.state_dict())
    return own.eval()


def test_vectors_that_are_not_wanted_change_no_answer(made):
    both, first, none = (run(made, vectors=vectors) for vectors in ("all", "first", "none"))
    torch.testing.assert_close(first.log_odds, both.log_odds, atol=1e-5, rtol=0)
    torch.testing.assert_close(none.log_odds, both.log_odds, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.vectors, both.vectors[[0, 3, 5]], atol=1e-5, rtol=0)
    assert none.vectors is None


def test_vectors_have_norm_one_and_the_width_of_all_sites(made):
    vectors = run(made).vectors
    assert vectors.shape == (7, 4 * len(made.sites))
    assert made.width == vectors.shape[1]
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(7))


def test_a_neighbour_in_the_batch_changes_nothing(made):
    ids = [*encoded(made)[:2], tuple(made.template.prefix) * 10]
    alone, beside = run(made, [(0, 1)], ids[:2]), run(made, [(0, 1), (2, 2)], ids)
    torch.testing.assert_close(alone.log_odds, beside.log_odds[:1], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.vectors, beside.vectors[:2], atol=1e-5, rtol=0)


def test_a_prompt_that_begins_with_its_text_is_read():
    made = student(trained=True)
    made.template = replace(made.template, prefix=())
    torch.testing.assert_close(run(made).log_odds, own_log_odds(made), atol=1e-4, rtol=0)


def test_the_cached_trunk_gives_the_same(made, tmp_path):
    plain, trunk = run(made), made.trunk.cache
    made.use_trunk_cache(tmp_path, 1 << 20)
    first, second, other = run(made), run(made), run(made, [(0, 6), (1, 0)])
    made.trunk.cache = trunk
    torch.testing.assert_close(other, run(made, [(0, 6), (1, 0)]), atol=1e-4, rtol=0)
    for found in (first, second):
        torch.testing.assert_close(found.log_odds, plain.log_odds, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.vectors, plain.vectors, atol=1e-5, rtol=0)


def test_a_trunk_kept_in_half_precision_is_near(made, tmp_path, capsys):
    plain = run(made)
    made.use_trunk_cache(tmp_path, 1 << 20, "float16")
    run(made)
    again, made.trunk.cache = run(made), None
    assert "float16" in capsys.readouterr().err
    torch.testing.assert_close(again.log_odds, plain.log_odds, atol=1e-2, rtol=0)
    torch.testing.assert_close(again.vectors, plain.vectors, atol=1e-2, rtol=0)


def test_the_last_layer_runs_where_answers_are_read_alone():
    made = student(trained=True)
    rows = []
    made.model.get_base_model().get_decoder().layers[-1].mlp.register_forward_hook(
        lambda _m, args, _o: rows.append(args[0].shape[1])
    )
    run(made)
    assert rows == [len(ENDS)]


def test_last_pooling_reads_the_texts_last_token():
    made = student(trained=True, pooling="last")
    ids = encoded(made)
    shorter = run(made, [], [ids[0][-1:]]).vectors
    assert not torch.allclose(run(made, [], ids[:1]).vectors, shorter)
    with torch.no_grad(), made._reader.reading() as captured:
        made.model(input_ids=torch.tensor([(*made.template.prefix, *ids[0])]))
    z = torch.cat(captured, dim=-1)[-1]
    torch.testing.assert_close(run(made).vectors[0], z / z.norm())


@pytest.mark.parametrize(
    ("architecture", "words"),
    [("lfm2", "Layer 0, a Lfm2DecoderLayer, convolves along the row"), ("minimax", "a layer 0 without attention")],
)
def test_a_state_that_would_run_from_text_to_text_is_refused(architecture, words):
    """In bfloat16 the log-odds alone, whose rounding is coarse, did not tell."""
    with pytest.raises(FlipkdError, match=words):
        student(architecture)


def test_a_model_that_does_not_hand_the_row_to_its_attention_is_refused_in_one_line():
    with pytest.raises(
        FlipkdError, match=r"NemotronForCausalLM cannot be run in stretches of layers: [^\n]*student\.$"
    ):
        student("nemotron")


@pytest.mark.parametrize("shift", [-100.0, -200.0])
def test_logits_that_bfloat16_rounds_coarsely_are_no_reason_to_refuse(shift, monkeypatch):
    """All logits moved by a constant, as GPT-2's are: log-odds stay, but the model's own are rounded to 0.5 or 1."""
    model, words = base_model("gpt2")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.div_(6.0)
        model.get_output_embeddings().weight[:, 0] = 1.0
        norm = model.get_decoder().ln_f
        norm.weight.mul_(20.0)[0] = 0.0
        norm.bias[0] = shift
    monkeypatch.setattr("tiny.base_model", lambda *_: (model.to(torch.bfloat16), words))
    assert student("gpt2").model.get_base_model().dtype == torch.bfloat16
