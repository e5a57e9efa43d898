import pytest
import torch
from peft.tuners.lora import LoraLayer

from flipkd.training.config import FlipConfig
from flipkd.training.rates import GAIN, joint_rate, mean_gain, warm_up_rate
from tiny import student


def maps(made):
    return [layer for layer in made.model.modules() if isinstance(layer, LoraLayer)]


def test_a_given_rate_is_taken():
    config = FlipConfig(learning_rate=3e-4, warmup_learning_rate=2e-4)
    assert (joint_rate(config, student()), warm_up_rate(config, student())) == (3e-4, 2e-4)


# GPT-2's maps are transposed.
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_gain_is_how_much_longer_random_vectors_become(architecture):
    made = student(architecture)
    longer = []
    for each in maps(made):
        vectors = torch.nn.functional.normalize(torch.randn(20_000, each.in_features), dim=1)
        with torch.no_grad():
            mapped = each.base_layer(vectors) - each.base_layer(torch.zeros(1, each.in_features))
        # A unit vector's entries have a mean square of 1 / in, and the mapped vector's is compared with that.
        longer.append(mapped.square().mean().sqrt() * each.in_features**0.5)
    assert mean_gain(made) == pytest.approx(float(sum(longer) / len(longer)), rel=0.02)


def test_otherwise_it_goes_with_the_gain_and_the_reason_is_said(capsys):
    made = student()
    before = mean_gain(made)
    for each in maps(made):
        each.base_layer.weight.data.mul_(GAIN / before)
    assert (joint_rate(FlipConfig(), made), warm_up_rate(FlipConfig(), made)) == (2e-3, 1e-3)
    for each in maps(made):
        each.base_layer.weight.data.div_(10)
    assert (joint_rate(FlipConfig(), made), warm_up_rate(FlipConfig(), made)) == (2e-4, 1e-4)
    assert "here 0.51" in " ".join(capsys.readouterr().err.split())
