import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flipkd.errors import FlipkdError
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.int8 import Int8Linear, quantise
from tiny import pairs, student


@settings(max_examples=50)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(1, 9), st.booleans(), st.floats(1, 1000))
def test_a_product_in_int8_is_close_whatever_one_channel_holds(width, out, rows, bias, huge):
    torch.manual_seed(0)
    linear, x = nn.Linear(width, out, bias=bias), torch.randn(rows, width)
    x[:, 0] *= huge
    with torch.no_grad():
        rounded = Int8Linear(linear, x.abs().amax(dim=0))
        error = (rounded(x[None])[0] - linear(x)).abs()
    # Each rounding moves a number by half a step at most.
    inner, weight = (x / rounded.divisor).abs(), (linear.weight * rounded.divisor).abs()
    half, half_weight = inner.amax(dim=1, keepdim=True) / 254, rounded.weight_step / 2
    bound = inner.sum(dim=1, keepdim=True) * half_weight + half * (weight.sum(dim=1) + width * half_weight)
    assert error.shape == (rows, out)
    assert (error <= bound * 1.01 + 1e-5).all()


def test_a_channel_that_was_silent_in_calibration_leaves_the_others_their_digits():
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 32), torch.rand(5, 48)
    largest = x.amax(dim=0)
    largest[0] = 0.0  # as behind a ReLU that the calibration never opened
    with torch.no_grad():
        exact = linear(x)
        error = Int8Linear(linear, largest)(x) - exact
    assert error.abs().max() < 0.05 * exact.std()


def test_a_row_does_not_depend_on_its_neighbours():
    linear, x = nn.Linear(16, 8), torch.randn(5, 16)
    rounded = Int8Linear(linear, torch.ones(16))
    x[1:] *= 1000
    torch.testing.assert_close(rounded(x)[0], rounded(x[:1])[0])


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_an_int8_student_answers_nearly_the_same(architecture):
    made, table = student(architecture, adapt_layers=2, trained=True), pairs(20)
    made.merge()
    encoded = EncodedPairs.of(made, table.text_a, table.text_b)
    exact = Reader(made).signals(encoded)
    before = sum(isinstance(module, nn.Linear) for module in made.modules())
    quantise(made)
    found = Reader(made).signals(encoded)
    rounded = sum(isinstance(module, Int8Linear) for module in made.modules())
    assert rounded == 4 * (4 if architecture == "gpt_neox" else 7)
    assert rounded + sum(isinstance(module, nn.Linear) for module in made.modules()) == before
    assert not np.array_equal(found.log_odds, exact.log_odds)
    assert np.corrcoef(found.log_odds, exact.log_odds)[0, 1] > 0.98
    assert np.corrcoef(found.similarity, exact.similarity)[0, 1] > 0.98


def test_an_adapter_that_is_not_merged_is_refused():
    with pytest.raises(FlipkdError, match="merged"):
        quantise(student(trained=True))


def test_a_student_without_linear_maps_is_refused_and_not_left_as_it_is():
    made = student("gpt2", trained=True)
    made.merge()
    with pytest.raises(FlipkdError, match="no linear maps"):
        quantise(made)


def test_another_dtype_is_refused():
    made = student(trained=True)
    made.merge()
    with pytest.raises(FlipkdError, match="float32 on a CPU"):
        quantise(made.to(torch.bfloat16))
