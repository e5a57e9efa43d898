"""Every rule of docs/method.md sections 2 and 3 about reading the student."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_norms, add_adapter, load_adapter
from flipkd.student.inference import PADDED, EncodedPairs, Reader, pair_batches
from flipkd.student.model import Student
from flipkd.student.packing import pack
from flipkd.student.template import Template
from flipkd.student.view import layers_name
from tiny import base_model, label_words, pairs, student, texts

ARCHITECTURES = ("llama", "gemma3", "gpt_neox")
SITES = {
    "before the attention": {},
    "below the last layer": {"site_layer": 2},
    "behind the attention": {"site_layer": 2, "site_modules": ["self_attn.o_proj", "mlp.down_proj"]},
    "behind the last attention": {"site_layer": 3, "site_modules": ["self_attn.q_proj", "self_attn.o_proj"]},
}
ENDS = [(0, 1), (0, 2), (3, 4), (5, 0), (0, 1)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request):
    return student(request.param, trained=True)


def encoded(made, count=7):
    return made.template.encode_texts(made.tokenizer, texts(count))


def run(made, ends=ENDS, ids=None, vectors="all"):
    with torch.no_grad():
        return made(pack(made.template, encoded(made) if ids is None else ids, ends, vectors))


def own_log_odds(made, ends=ENDS):
    """By the model's own forward, one prompt at a time."""
    ids, (no, yes) = encoded(made), made.template.label_ids
    with torch.no_grad():
        prompts = [torch.tensor([made.template.pair(ids[a], ids[b])]) for a, b in ends]
        logits = [made.model(input_ids=prompt).logits[0, -1] for prompt in prompts]
    return torch.stack([row[yes] - row[no] for row in logits])


def own_vectors(made):
    """By the model's own forward over P t, one text at a time."""
    decoder = made.model.get_base_model().get_decoder()
    layers = getattr(decoder, layers_name(decoder))
    found = []
    for ids in encoded(made):
        captured = []
        modules = [layers[int(site.split(".")[0])].get_submodule(site.split(".", 1)[1]) for site in made.sites]
        keep = lambda _module, _args, out, captured=captured: captured.append(out)  # noqa: E731
        hooks = [module.lora_A["default"].register_forward_hook(keep) for module in modules]
        with torch.no_grad():
            made.model(input_ids=torch.tensor([(*made.template.prefix, *ids)]))
        for hook in hooks:
            hook.remove()
        mean = torch.cat(captured, dim=-1)[0, len(made.template.prefix) :].mean(dim=0)
        found.append(mean / mean.norm())
    return torch.stack(found)


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


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2", "granite"])
@pytest.mark.parametrize("adapt_layers", [2, "all"])
def test_what_a_model_does_to_its_embeddings_and_attention_is_done_once(architecture, adapt_layers):
    """Softcapped attention, learnt positions, a multiplier of the embeddings: as by the untouched model."""
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


@pytest.mark.parametrize("adapt_layers", [2, "all"])
def test_half_precision_learns_in_the_same_direction(adapt_layers):
    def gradient(dtype):
        made = student(trained=True, adapt_layers=adapt_layers)
        made.model.get_base_model().to(dtype)
        output = made(pack(made.template, encoded(made), ENDS))
        assert output.vectors.dtype == output.log_odds.dtype == torch.float32
        (output.log_odds.sum() + (output.vectors @ output.vectors.T).sum()).backward()
        return torch.cat([p.grad.float().flatten() for p in made.parameters() if p.grad is not None])

    exact, half = gradient(torch.float32), gradient(torch.bfloat16)
    assert torch.cosine_similarity(exact, half, dim=0) > 0.98


def test_threads_on_one_student_do_not_mix_their_vectors(made):
    from concurrent.futures import ThreadPoolExecutor

    ids = [[text] for text in encoded(made)] * 6
    alone = [Reader(made).vectors(texts) for texts in ids]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda texts: Reader(made).vectors(texts), ids))
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(alone), atol=1e-5)


def test_no_pair_is_no_signal_and_further_texts_get_vectors(made):
    none = np.zeros(0, dtype=np.int64)
    assert len(Reader(made).signals(EncodedPairs([], none, none)).log_odds) == 0
    further = Reader(made).signals(EncodedPairs(encoded(made), np.array([0]), np.array([1])))
    torch.testing.assert_close(torch.from_numpy(further.vectors), run(made, []).vectors, atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_frozen_trunk_trains_the_same(architecture, tmp_path):
    """Gradients of the adapters with a cached trunk equal those without."""

    def gradients(cached):
        made = student(architecture, trained=True)
        if cached:
            made.use_trunk_cache(tmp_path, 1 << 20)
        for _ in range(2 if cached else 1):
            made.zero_grad()
            output = made(pack(made.template, encoded(made), ENDS))
            (output.log_odds.sum() + (output.vectors @ output.vectors.T).sum()).backward()
        return {name: p.grad for name, p in made.named_parameters() if p.grad is not None}

    plain, cached = gradients(False), gradients(True)
    assert plain.keys() == cached.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-4, rtol=1e-4)


def reached(made, part):
    """Adapted modules of a layer whose B got a gradient."""
    names = [n for n, p in made.named_parameters() if ".lora_B." in n and p.grad is not None and p.grad.norm() > 0]
    return {name.split(".lora_B")[0].rsplit(".", 1)[-1] for name in names if part in name}


def test_text_vectors_leave_at_the_attention_of_the_last_site():
    made = student(adapt_layers="all", trained=True, site_layer=2)
    calls = []
    for i, layer in enumerate(made.model.get_base_model().get_decoder().layers):
        layer.mlp.register_forward_hook(lambda *_, i=i: calls.append(i))
    made(pack(made.template, [(5, 6, 7)], [])).vectors[0, 0].backward()
    assert calls == [0, 1]
    assert reached(made, "layers.1.") == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_last_layer_runs_where_answers_are_read_alone():
    made = student(trained=True)
    rows = []
    made.model.get_base_model().get_decoder().layers[-1].mlp.register_forward_hook(
        lambda _m, args, _o: rows.append(args[0].shape[1])
    )
    run(made)
    assert rows == [len(ENDS)]


def test_every_adapter_learns_from_the_answer(made):
    made.zero_grad()
    made(pack(made.template, encoded(made), ENDS, "none")).log_odds.sum().backward()
    silent = [n for n, p in made.named_parameters() if ".lora_B." in n and not (p.grad is not None and p.grad.norm())]
    made.zero_grad(set_to_none=True)
    assert silent == []


def test_every_adapter_below_the_site_learns_under_gradient_checkpointing():
    made = student(adapt_layers="all", trained=True).train()
    made.activation_checkpointing_enable()
    made(pack(made.template, encoded(made), ENDS)).vectors[0].sum().backward()
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
        output = made(pack(made.template, encoded(made), ENDS))
        (output.log_odds.sum() + output.vectors[0].sum()).backward()
        return [p.grad for p in made.parameters() if p.grad is not None]

    for with_, without in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(with_, without)


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
    torch.testing.assert_close(run(again).log_odds, run(made).log_odds)
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
    ids = encoded(made)
    shorter = run(made, [], [ids[0][-1:]]).vectors
    assert not torch.allclose(run(made, [], ids[:1]).vectors, shorter)
    with torch.no_grad(), made._reader.reading() as captured:
        made.model(input_ids=torch.tensor([(*made.template.prefix, *ids[0])]))
    z = torch.cat(captured, dim=-1)[-1]
    torch.testing.assert_close(run(made).vectors[0], z / z.norm())


def test_the_reader_keeps_order_and_answers_duplicates_alike(made):
    table = pairs(7)
    rows = [3, 1, 3, 6, 0, 1]
    many_pairs = EncodedPairs.of(made, [table.text_a[i] for i in rows], [table.text_b[i] for i in rows])
    once = EncodedPairs.of(made, table.text_a, table.text_b)
    many, single = Reader(made).signals(many_pairs), Reader(made, batch_tokens=1).signals(once)
    torch.testing.assert_close(many.log_odds, single.log_odds[rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(many.similarity, single.similarity[rows], atol=1e-5, rtol=0)


def test_the_reader_computes_each_distinct_pair_once(made):
    rows = []
    original = made.forward

    def counting(packed):
        rows.append((len(packed["asked"]), len(packed["ids"])))
        return original(packed)

    made.forward = counting
    try:
        Reader(made).log_odds(EncodedPairs.of(made, ["pin"] * 9 + ["card"], ["money"] * 10))
    finally:
        del made.forward
    assert sum(pairs for pairs, _ in rows) == 2


def test_a_text_that_begins_many_pairs_is_computed_once(made):
    table = pairs(6)
    first = table.text_a[0]
    encoded = EncodedPairs.of(made, [first] * 6, table.text_b)
    tokens = []
    original = made.forward

    def counting(packed):
        tokens.append(len(packed["ids"]))
        return original(packed)

    made.forward = counting
    try:
        Reader(made).log_odds(encoded)
    finally:
        del made.forward
    around = len(made.template.middle) + len(made.template.suffix)
    alone = [len(made.template.prefix) + len(encoded.ids[0])]
    assert tokens == [sum(alone + [around + len(encoded.ids[b]) for b in encoded.b])]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8).flatmap(
        lambda lengths: st.tuples(
            st.just(lengths), st.lists(st.tuples(*[st.integers(0, len(lengths) - 1)] * 2), min_size=1, max_size=30)
        )
    ),
    st.integers(1, 80),
)
def test_batches_hold_every_pair_once_within_the_budget(drawn, budget):
    lengths, ends = drawn
    batches = list(pair_batches(np.array(ends), lengths, 5, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(ends)))
    for batch in batches:
        firsts = {ends[i][0] for i in batch}
        tokens = sum(lengths[a] for a in firsts) + sum(5 + lengths[ends[i][1]] for i in batch)
        longest = max(5 + lengths[ends[i][0]] + lengths[ends[i][1]] for i in batch)
        assert (tokens <= budget and len(batch) * longest <= PADDED * budget) or len(batch) == 1
