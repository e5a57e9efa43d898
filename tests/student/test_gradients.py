"""What learns, and that shortcuts leave the gradients as they are."""

import pytest
import torch

from flipkd.student.packing import pack
from student.reading import ARCHITECTURES, ENDS, encoded
from tiny import student


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
