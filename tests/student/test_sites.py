"""What feeds the attention, whatever the order in which an architecture registers its maps."""

import pytest
from torch import nn

from flipkd.student.sites import attention_inputs


def layer(*names):
    made = nn.Module()
    made.self_attn = nn.Module()
    for name in names:
        made.self_attn.add_module(name, nn.Linear(4, 4))
    return made


@pytest.mark.parametrize(
    ("registered", "inputs"),
    [
        (("q_proj", "k_proj", "v_proj", "o_proj"), ["q_proj", "k_proj", "v_proj"]),
        (("o_proj", "qkv_proj"), ["qkv_proj"]),  # Phi-3
        (("out_proj", "qkv_proj"), ["qkv_proj"]),  # CodeGen
        (("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj"), ["q_proj", "k_proj", "v_proj"]),  # AFMoE
        (("query_key_value", "dense"), ["query_key_value"]),  # GPT-NeoX
        (("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"), ["q_a_proj", "kv_a_proj_with_mqa"]),
        (("query", "values", "back"), ["query", "values"]),  # no name that is known: the last one is left out
    ],
)
def test_output_projections_and_gates_are_left_out(registered, inputs):
    assert attention_inputs(layer(*registered)) == [f"self_attn.{name}" for name in inputs]
