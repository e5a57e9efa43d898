"""Every rule of docs/method.md sections 2 and 3 about reading the student."""

import pytest
import torch

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_norms, add_adapter, load_adapter
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.model import Student
from flipkd.student.padding import pad
from flipkd.student.template import Template
from tiny import base_model, label_words, pairs, student, texts

ARCHITECTURES = ("llama", "gemma3", "gpt_neox")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request):
    return student(request.param, trained=True)


def prompts(made, count=5):
    ids = made.template.encode_texts(made.tokenizer, texts(2 * count))
    return [made.template.pair(a, b) for a, b in zip(ids[:count], ids[count:], strict=True)], ids


def test_log_odds_are_the_models_own(made):
    pair, _ = prompts(made)
    rows = pad(pair, 3)
    with torch.no_grad():
        ours = made(rows).log_odds
        logits = made.model(input_ids=rows["ids"], attention_mask=rows["mask"]).logits
    last = rows["mask"].sum(dim=1) - 1
    no, yes = made.template.label_ids
    theirs = logits[torch.arange(len(pair)), last]
    torch.testing.assert_close(ours, theirs[:, yes] - theirs[:, no], atol=1e-4, rtol=0)


def test_the_vector_inside_a_pair_equals_the_vector_alone(made):
    pair, ids = prompts(made)
    with torch.no_grad():
        inside = made(pad(pair, 3)).vectors
        alone = made(texts=pad([made.template.alone(text) for text in ids[: len(pair)]], 3)).vectors
    torch.testing.assert_close(inside, alone, atol=1e-5, rtol=0)


def test_one_forward_equals_separate_ones(made):
    pair, ids = prompts(made)
    alone = pad([made.template.alone(text) for text in ids[5:]], 3)
    with torch.no_grad():
        together = made(pad(pair, 3), alone)
        apart = torch.cat([made(pad(pair, 3)).vectors, made(texts=alone).vectors])
        plain = made(pad(pair, 3), vectors=False)
    torch.testing.assert_close(together.vectors, apart)
    torch.testing.assert_close(together.log_odds, plain.log_odds)
    assert plain.vectors is None


def test_vectors_have_norm_one_and_the_width_of_all_sites(made):
    pair, _ = prompts(made)
    vectors = made(pad(pair, 3)).vectors
    assert vectors.shape == (5, 4 * len(made.sites))
    assert made.width == vectors.shape[1]
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


def test_a_neighbour_in_the_batch_changes_nothing(made):
    pair, _ = prompts(made)
    long = made.template.pair(*[tuple(made.template.prefix) * 10] * 2)
    with torch.no_grad():
        alone, beside = made(pad(pair[:1], 3)), made(pad([*pair[:1], long], 3))
    torch.testing.assert_close(alone.log_odds, beside.log_odds[:1], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.vectors, beside.vectors[:1], atol=1e-5, rtol=0)


def test_left_padding_equals_right(made):
    pair, _ = prompts(made)
    with torch.no_grad():
        left, right = made(pad(pair, 3, left=True)), made(pad(pair, 3))
    torch.testing.assert_close(left.log_odds, right.log_odds, atol=1e-4, rtol=0)
    torch.testing.assert_close(left.vectors, right.vectors, atol=1e-5, rtol=0)


def test_the_cached_trunk_gives_the_same(made, tmp_path):
    pair, ids = prompts(made)
    rows, alone = pad(pair, 3), pad([made.template.alone(text) for text in ids], 3)
    with torch.no_grad():
        plain = made(rows, alone)
    trunk = made.trunk.cache
    made.use_trunk_cache(tmp_path, 1 << 20)
    with torch.no_grad():
        first, second = made(rows, alone), made(pad(pair, 3, left=True), alone)
    made.trunk.cache = trunk
    for found in (first, second):
        torch.testing.assert_close(found.log_odds, plain.log_odds, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.vectors, plain.vectors, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_frozen_trunk_trains_the_same(architecture, tmp_path):
    """Gradients of the adapters with a cached trunk equal those without."""

    def gradients(cached):
        made = student(architecture, trained=True)
        if cached:
            made.use_trunk_cache(tmp_path, 1 << 20)
        pair, ids = prompts(made)
        for _ in range(2 if cached else 1):
            made.zero_grad()
            output = made(pad(pair, 3), pad([made.template.alone(text) for text in ids[5:]], 3))
            (output.log_odds.sum() + (output.vectors @ output.vectors.T).sum()).backward()
        return {name: p.grad for name, p in made.named_parameters() if p.grad is not None}

    plain, cached = gradients(False), gradients(True)
    assert plain.keys() == cached.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-4, rtol=1e-4)


def test_text_vectors_stop_at_the_last_site():
    made = student(adapt_layers="all", trained=True)
    made(texts=pad([made.template.alone((5, 6, 7))], 3)).vectors.sum().backward()
    above = [
        n for n, p in made.named_parameters() if "layers.3." in n and ".lora_A." in n and "mlp" in n and p.grad is None
    ]
    assert made.sites[0].startswith("3.")
    assert above


def test_every_adapter_below_the_site_learns_under_gradient_checkpointing():
    made = student(adapt_layers="all", trained=True).train()
    made.activation_checkpointing_enable()
    pair, _ = prompts(made)
    made(pad(pair, 3)).vectors[0].sum().backward()
    below = [p for n, p in made.named_parameters() if ".lora_" in n and any(f"layers.{i}." in n for i in range(3))]
    assert below
    assert all(p.grad is not None and p.grad.norm() > 0 for p in below)


def test_reentrant_checkpointing_is_refused():
    with pytest.raises(AssertionError, match="graph"):
        student().activation_checkpointing_enable({"use_reentrant": True})


def test_gradient_checkpointing_gives_the_same_gradients():
    def gradients(checkpointing):
        made = student(trained=True).train()
        if checkpointing:
            made.activation_checkpointing_enable()
        pair, _ = prompts(made)
        output = made(pad(pair, 3))
        (output.log_odds.sum() + output.vectors[0].sum()).backward()
        return [p.grad for p in made.parameters() if p.grad is not None]

    for with_, without in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(with_, without)


def test_a_merged_adapter_has_no_vectors():
    made = student(trained=True)
    made.model.merge_adapter()
    with torch.no_grad(), pytest.raises(FlipkdError, match="merged or disabled"):
        made(texts=pad([made.template.alone((5, 6))], 3))


def test_a_disabled_adapter_has_no_vectors():
    made = student(trained=True)
    with torch.no_grad(), made.model.disable_adapter(), pytest.raises(FlipkdError, match="merged or disabled"):
        made(texts=pad([made.template.alone((5, 6))], 3))


@pytest.mark.parametrize(
    ("option", "complaint"), [({"lora_dropout": 0.1}, "dropout"), ({"use_dora": True}, "plain LoRA")]
)
def test_dropout_and_dora_are_refused(option, complaint):
    from peft import LoraConfig, get_peft_model

    model, words = base_model()
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], **option)
    template = Template.build(words, prompt="{a} {b} same ?", label_words=label_words(words), max_text_tokens=8)
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


def test_a_saved_adapter_answers_the_same(tmp_path):
    made = student(trained=True)
    made.model.save_pretrained(tmp_path)
    model, words = base_model()
    again = load_adapter(
        model, words, made.template, tmp_path, sites=made.sites, pooling="mean", first_adapted=made.first_adapted
    )
    pair, _ = prompts(made)
    with torch.no_grad():
        torch.testing.assert_close(again(pad(pair, 3)).log_odds, made(pad(pair, 3)).log_odds)
    assert min(adapter_norms(again.model).values()) > 0


def test_a_model_that_does_more_to_its_logits_is_refused():
    model, words = base_model()
    forward = model.forward
    model.forward = lambda *args, **kwargs: _scaled(forward(*args, **kwargs))
    template = Template.build(words, prompt="{a} {b} same ?", label_words=label_words(words), max_text_tokens=8)
    with pytest.raises(FlipkdError, match="does not know"):
        add_adapter(
            model, words, template, adapt_layers=2, rank=4, alpha=8, site_layer=None, site_modules=None,
            pooling="mean", seed=0,
        )  # fmt: skip


def _scaled(output):
    output.logits = output.logits * 3
    return output


def test_texts_that_do_not_fit_the_model_are_refused():
    with pytest.raises(FlipkdError, match="max-text-tokens"):
        student(max_text_tokens=200)


def test_last_pooling_reads_the_texts_last_token():
    made = student(trained=True, pooling="last")
    pair, _ = prompts(made)
    with torch.no_grad():
        vectors = made(pad(pair, 3)).vectors
        with made._reader.reading() as captured:
            made._run(made._views[0], pad(pair[:1], 3))
    z = torch.cat(captured, dim=-1)[0, pair[0].stop - 1]
    torch.testing.assert_close(vectors[0], z / z.norm())


def test_the_reader_keeps_order_and_answers_duplicates_alike(made):
    table = pairs(7)
    rows = [3, 1, 3, 6, 0, 1]
    encoded = EncodedPairs.of(made, [table.text_a[i] for i in rows], [table.text_b[i] for i in rows])
    once = EncodedPairs.of(made, table.text_a, table.text_b)
    many, single = Reader(made).signals(encoded), Reader(made, batch_tokens=1).signals(once)
    torch.testing.assert_close(many.log_odds, single.log_odds[rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(many.similarity, single.similarity[rows], atol=1e-5, rtol=0)


def test_the_reader_computes_each_distinct_pair_once(made):
    rows = []
    original = made.forward

    def counting(pairs=None, texts=None, vectors=True):
        rows.append(len(pairs["ids"]))
        return original(pairs=pairs, texts=texts, vectors=vectors)

    made.forward = counting
    try:
        Reader(made).log_odds(EncodedPairs.of(made, ["pin"] * 9 + ["card"], ["money"] * 10))
    finally:
        del made.forward
    assert sum(rows) == 2
