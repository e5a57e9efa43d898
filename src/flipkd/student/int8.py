"""int8 weights for inference on a CPU: several multiplications for the price of one, and a little less exact.

Weights are rounded to int8 by output row, once; what they are multiplied with, by token, as it comes, so that a text is
rounded by itself. A sum in another order can still tip a rounding, so that a pair's log-odds move a little with the
batch it stands in (by up to 0.2 in what was measured, against 1e-5 in float32).

Before the rounding each input channel is divided by a number that its weights are multiplied with, so that the few
channels in which a decoder carries huge values leave the others their digits (SmoothQuant, arXiv 2211.10438, with its
exponent 0.5).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flipkd.errors import FlipkdError
from flipkd.student.model import Student
from flipkd.student.packing import pack, to_device

CALIBRATION_TEXTS, CALIBRATION_TOKENS = 64, 16
"""How many texts of random tokens show which channels are large, and their length: those channels are large whatever
the text, so that no data is needed for it."""


class Int8Linear(nn.Module):
    """A linear map with int8 weights, for inference.

    Args:
        linear: What it replaces, in float32; its weights are (out, in) and not kept.
        largest: (in,) float32, the largest magnitude seen of each input channel.
    """

    weight: Tensor
    weight_step: Tensor
    divisor: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, largest: Tensor) -> None:
        super().__init__()
        # torch 2.13's kernel is wrong for a single input channel, which no decoder has.
        assert linear.in_features > 1
        weight, tiny = linear.weight.detach(), 1e-5
        divisor = (largest.clamp(min=tiny) / weight.abs().amax(dim=0).clamp(min=tiny)).sqrt()
        # What a channel that was silent will hold is not known: it is taken for a usual one.
        seen = largest > tiny
        divisor[~seen] = divisor[seen].median() if seen.any() else 1.0
        weight = weight * divisor
        step = weight.abs().amax(dim=1).clamp(min=tiny) / 127
        # (in, out) in the memory order of (out, in), as the kernel wants it.
        self.register_buffer("weight", (weight / step[:, None]).round().to(torch.int8).t())
        self.register_buffer("weight_step", step)
        self.register_buffer("divisor", divisor)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) float32 to (..., out) float32."""
        rows = x.reshape(-1, x.shape[-1]) / self.divisor
        step = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / 127
        whole = torch._int_mm(rows.div_(step).round_().to(torch.int8), self.weight)
        found = whole.float().mul_(step).mul_(self.weight_step)
        if self.bias is not None:
            found += self.bias
        return found.view(*x.shape[:-1], -1)


def quantise(student: Student) -> None:
    """Put int8 weights into every linear map of a student's layers, in place; its adapter must be merged.

    A stays as it is, and so do embeddings, norms and the label rows of the output layer.

    Args:
        student: In float32 on a CPU.

    Raises:
        FlipkdError: If it is elsewhere or in another dtype, its adapter is not merged, or it has no such maps, as
            GPT-2, whose maps are transposed.
    """
    from peft.tuners.lora import LoraLayer

    weight = next(student.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        raise FlipkdError(f"int8 weights are for float32 on a CPU; this student is {weight.dtype} on {weight.device}.")
    decoder = student.model.get_base_model().get_decoder()
    if any(isinstance(module, LoraLayer) and not module.merged for module in decoder.modules()):
        raise FlipkdError("The adapter must be merged before the weights become int8.")
    # A and B of a LoRA layer are children named by their adapter; A is still read, B no longer runs.
    places = [
        (parent, name, child)
        for parent in decoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and name != "default"
    ]
    if not places:
        raise FlipkdError(f"{type(decoder).__name__} has no linear maps that int8 knows; match without --int8.")
    with _watching([child for _, _, child in places]) as largest, torch.inference_mode():
        student.eval()(to_device(_calibration(student), student.device))
    for (parent, name, child), seen in zip(places, largest, strict=True):
        setattr(parent, name, Int8Linear(child, seen))


def _calibration(student: Student) -> Any:
    """Pairs of texts of random tokens, the same at every call."""
    special = set(student.tokenizer.all_special_ids)
    usual = np.array([token for token in range(len(student.tokenizer)) if token not in special])
    length = min(CALIBRATION_TOKENS, student.template.max_text_tokens)
    texts = np.random.default_rng(0).choice(usual, (CALIBRATION_TEXTS, length)).tolist()
    return pack(student.template, texts, [(i, i + 1) for i in range(0, CALIBRATION_TEXTS, 2)])


@contextmanager
def _watching(modules: list[nn.Linear]) -> Iterator[list[Tensor]]:
    """Within the context, the list holds the largest magnitude of each module's input channels, (in,) float32."""
    largest = [torch.zeros(module.in_features) for module in modules]

    def watch(slot: int) -> Any:
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            largest[slot] = torch.maximum(largest[slot], args[0].flatten(0, -2).abs().amax(dim=0))

        return hook

    handles = [module.register_forward_pre_hook(watch(slot)) for slot, module in enumerate(modules)]
    try:
        yield largest
    finally:
        for handle in handles:
            handle.remove()
