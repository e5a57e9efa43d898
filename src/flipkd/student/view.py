"""A decoder's layers from one index to another, run by the model's own forward.

The frozen trunk (layers below the first adapter) and the encoder (layers up to the last site) are both
stretches of one decoder. Running a stretch with the model's own code keeps its masks, positions and
sliding windows right for every architecture.
"""

import copy
from typing import Any

from torch import Tensor, nn

from flipkd.errors import FlipkdError


class _Skip(nn.Module):
    """Stands in for a layer that is not run, so that layer indices keep their meaning."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden


def layers_name(decoder: nn.Module) -> str:
    """The attribute that holds the decoder's layers: its longest module list.

    Raises:
        FlipkdError: If there is none.
    """
    lists = {name: len(child) for name, child in decoder.named_children() if isinstance(child, nn.ModuleList)}
    if not lists:
        raise FlipkdError(f"{type(decoder).__name__} has no list of layers: it is not a student flipkd can read.")
    return max(lists, key=lambda name: lists[name])


def final_norm_name(decoder: nn.Module) -> str:
    """The attribute of the one normalisation that follows the layers.

    Raises:
        FlipkdError: If there is not exactly one.
    """
    names = [name for name, child in decoder.named_children() if "norm" in type(child).__name__.lower()]
    if len(names) != 1:
        raise FlipkdError(f"{type(decoder).__name__} has {len(names)} final norms; flipkd reads models with one.")
    return names[0]


def decoder_view(decoder: nn.Module, start: int, stop: int) -> nn.Module:
    """A shallow copy of `decoder` that runs layers `start` to `stop` (exclusive) and no final norm.

    It shares every parameter with the original and must not be registered as a submodule beside it. With
    `start` above 0 feed hidden states as ``inputs_embeds``.
    """
    view = copy.copy(decoder)
    view.__dict__["_modules"] = dict(decoder._modules)
    name = layers_name(decoder)
    layers = getattr(decoder, name)
    setattr(view, name, nn.ModuleList([layer if start <= i < stop else _Skip() for i, layer in enumerate(layers)]))
    setattr(view, final_norm_name(decoder), nn.Identity())
    return view
