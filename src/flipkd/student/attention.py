"""Attention over a packed row: the one place where flipkd stands in for a part of the model's own forward.

Everything else of a layer works token by token and needs no padding. Here each segment's queries and the keys
it sees are gathered into padded rows for torch's attention, and its output is put back in place.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flipkd.errors import FlipkdError
from flipkd.student.packing import Layout

NAME = "flipkd_packed"

UNREAD = ("s_aux", "position_bias", "head_mask")
"""What some models add to their attention, and a packed row cannot take."""

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of a layer, each (tokens, key heads, head size)."""


class KeysKnown(Exception):  # noqa: N818 - not an error: it leaves a layer early
    """Raised inside a layer once its keys and values are known, where nothing else of it is wanted."""


class PackedAttention:
    """What one stretch of layers needs to attend within a packed row.

    Args:
        layout: Who sees whom.
        past: By layer index, keys and values of tokens that are not in the row but numbered behind it.
        kept: Filled with each layer's keys and values, by layer index, where given.
        leave: Leave each layer by `KeysKnown` once they are kept.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        past: Mapping[int, KeysValues] | None = None,
        kept: dict[int, KeysValues] | None = None,
        leave: bool = False,
    ) -> None:
        self.rows = [rows for rows in layout["rows"] if rows["query"].shape[1]]
        self.back = layout["back"]
        self.past = past
        self.kept = kept
        self.leave = leave
        self._position = layout["position"]
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def _mask(self, kind: int, window: int | None) -> Tensor:
        """(segments, 1, queries, keys) bool: which keys a query sees."""
        if (kind, window) not in self._masks:
            query, key = self.rows[kind]["query"], self.rows[kind]["key"]
            # A key's place in its row is its position in the prompt. A padded query stands for token 0, which
            # sees the row's first key, so that no row of the softmax is empty.
            asked, place = self._position[query.clamp(min=0)], torch.arange(key.shape[1], device=key.device)
            mask = (key >= 0)[:, None, :] & (place <= asked[:, :, None])
            if window is not None:
                mask &= (asked[:, :, None] - place < window) | (query < 0)[:, :, None]
            self._masks[kind, window] = mask[:, None]
        return self._masks[kind, window]

    def __call__(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
        dropout: float,
    ) -> Tensor:
        """Attend. The tensors are the model's own, (1, heads, tokens, size); returns (1, tokens, heads, size)."""
        q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
        if self.kept is not None:
            self.kept[module.layer_idx] = (k, v)
        if self.leave:
            raise KeysKnown
        if self.past is not None:
            k, v = (torch.cat(both) for both in zip((k, v), self.past[module.layer_idx], strict=True))
        # Rows of all heads, since gathering and its gradient are fast along the first dimension only.
        flat = [states.reshape(len(states), -1) for states in (q, k, v)]
        sizes = [states.shape[1:] for states in (q, k, v)]
        found = []
        for kind, rows in enumerate(self.rows):
            asking, seen = rows["query"], rows["key"]
            gathered = (
                states.index_select(0, index.clamp(min=0).flatten()).view(*index.shape, *size).transpose(1, 2)
                for states, index, size in zip(flat, (asking, seen, seen), sizes, strict=True)
            )
            mask = self._mask(kind, window if window is not None and seen.shape[1] > window else None)
            attended = _attend(tuple(gathered), mask, scaling, softcap, dropout)
            found.append(attended.transpose(1, 2).flatten(0, 1))
        together = torch.cat(found)
        return together.flatten(1).index_select(0, self.back).view(1, -1, *together.shape[1:])


def _attend(
    states: tuple[Tensor, ...], mask: Tensor, scaling: float | None, softcap: float | None, dropout: float
) -> Tensor:
    query, key, value = states
    groups = query.shape[1] // key.shape[1]
    if softcap is None and query.device.type == "cpu":
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling, enable_gqa=groups > 1)
    # With a mask and grouped heads torch has no fused kernel on a GPU, so the heads are repeated there.
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    weights = softcap * torch.tanh(query @ key.transpose(2, 3) * scale / softcap)
    weights = weights.masked_fill(~mask, float("-inf")).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed: PackedAttention | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every layer; without a packed row it is torch's attention."""
    if packed is not None and any(kwargs.get(name) is not None for name in UNREAD):
        raise FlipkdError(f"{type(module).__name__} attends with more than keys and values ({', '.join(UNREAD)}).")
    if packed is None and softcap is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    if packed is None:
        asked, seen = query.shape[2], key.shape[2]
        causal = torch.ones(asked, seen, dtype=torch.bool, device=query.device).tril(seen - asked)
        mask = causal if attention_mask is None else attention_mask
        return _attend((query, key, value), mask, scaling, softcap, dropout).transpose(1, 2), None
    return packed(
        module, query, key, value, scaling=scaling, window=sliding_window, softcap=softcap, dropout=dropout
    ), None


def install(model: Any) -> None:
    """Let the layers of a model attend through this module from now on.

    Raises:
        FlipkdError: If the model's attention cannot be replaced, as in code older than transformers' interface.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if model._can_set_attn_implementation():
        model.set_attn_implementation(NAME)
    else:
        raise FlipkdError(
            f"{type(model).__name__} does not use transformers' attention interface, so flipkd cannot run its layers "
            "over a packed batch. Choose another student."
        )
