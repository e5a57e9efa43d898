"""A decoder's layers from one index to another, run by the model's own forward.

The frozen trunk (layers below the first adapter) and the encoder (layers up to the last site) are both
stretches of one decoder. Running a stretch with the model's own code keeps its masks, positions and
sliding windows right for every architecture.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from flipkd.errors import FlipkdError
from flipkd.student.attention import PackedAttention


class _Skip(nn.Module):
    """Stands in for a layer that is not run, so that layer indices keep their meaning."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden


class _Entry(nn.Module):
    """Gives a layer the stretch's hidden states, if any, in place of what the model's own beginning made."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.hidden: Tensor | None = None

    def forward(self, embedded: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.layer(embedded if self.hidden is None else self.hidden, *args, **kwargs)


class _Plain(nn.Module):
    """Runs a layer without gradient checkpointing, which could not follow a layer that is left half-way."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.forward(*args, **kwargs)


def layers_name(decoder: nn.Module) -> str:
    """The attribute that holds the decoder's layers: its longest module list.

    Raises:
        FlipkdError: If there is none.
    """
    lists = {name: len(child) for name, child in decoder.named_children() if isinstance(child, nn.ModuleList)}
    if not lists:
        raise FlipkdError(f"{type(decoder).__name__} has no list of layers: it is not a student flipkd can read.")
    return max(lists, key=lambda name: lists[name])


def require_no_convolution(layers: nn.ModuleList) -> None:
    """Refuse layers that convolve along the row of tokens, as most hybrids do: many texts stand in it, and would mix.

    A layer with another state in the place of attention is refused by `Student`, which leaves each at its attention.

    Args:
        layers: The decoder's.

    Raises:
        FlipkdError: If a layer holds a convolution.
    """
    for number, layer in enumerate(layers):
        if any(isinstance(module, nn.Conv1d) for module in layer.modules()):
            raise FlipkdError(
                f"Layer {number}, a {type(layer).__name__}, convolves along the row of tokens, in which flipkd puts "
                "many texts. Choose a student whose layers mix tokens by attention alone."
            )


def final_norm_name(decoder: nn.Module) -> str:
    """The attribute of the one normalisation that follows the layers.

    Raises:
        FlipkdError: If there is not exactly one.
    """
    names = [name for name, child in decoder.named_children() if "norm" in type(child).__name__.lower()]
    if len(names) != 1:
        raise FlipkdError(f"{type(decoder).__name__} has {len(names)} final norms; flipkd reads models with one.")
    return names[0]


class Stretch:
    """Layers `start` to `stop` (exclusive) of a decoder, run by the model's own forward, without the final norm.

    Args:
        decoder: The decoder, whose parameters are shared.
        start: Index of the first layer.
        stop: One past the last.
        leavable: Whether a layer may be left half-way (`KeysKnown`).
    """

    def __init__(self, decoder: nn.Module, start: int, stop: int, *, leavable: bool = False) -> None:
        # A shallow copy, so that the decoder itself stays as it is.
        self.view = copy.copy(decoder)
        self.view.__dict__["_modules"] = dict(decoder._modules)
        name = layers_name(decoder)
        layers = enumerate(getattr(decoder, name))
        inside = [(_Plain(layer) if leavable else layer) if start <= i < stop else _Skip() for i, layer in layers]
        # Models may scale what they embed or add positions to it; hidden states are past all that.
        self._entry = _Entry(inside[start]) if start < stop else None
        if self._entry is not None:
            inside[start] = self._entry
        setattr(self.view, name, nn.ModuleList(inside))
        setattr(self.view, final_norm_name(decoder), nn.Identity())

    def __call__(self, tokens: Tensor, position: Tensor, attention: PackedAttention) -> Tensor:
        """Run the layers over a packed row.

        Args:
            tokens: (T,) int64 ids, for a stretch that begins at layer 0, or (T, width) hidden states.
            position: (T,) int64.
            attention: Who sees whom.

        Returns:
            (T, width) hidden states.
        """
        feed = "input_ids"
        if tokens.dtype != torch.long:
            if self._entry is None:
                return tokens
            feed, self._entry.hidden = "inputs_embeds", tokens[None]
        try:
            output = self.view(
                **{feed: tokens[None]},
                # Any mask of four dimensions is taken as it is, so that none is built: the attention has its own.
                attention_mask=torch.empty(1, 1, 0, 0, device=tokens.device),
                position_ids=position[None],
                use_cache=False,
                packed=attention,
            )
        finally:
            if self._entry is not None:
                self._entry.hidden = None
        hidden: Tensor = output.last_hidden_state[0]
        return hidden
