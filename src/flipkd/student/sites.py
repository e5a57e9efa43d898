"""Where the encoder is read: the A outputs of LoRA at chosen modules (docs/method.md section 2)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.student.packing import Packed

Pooling = Literal["mean", "last"]
_NOT_INPUTS = {
    "o_proj", "o_b_proj", "out_proj", "c_proj", "dense", "Wo", "g_proj", "gate_proj", "output_gate", "q_b_proj",
    "kv_b_proj",
}  # fmt: skip
"""What transformers' decoders call the maps of an attention behind it, the gates on its output, and the second halves
of its maps of low rank, which do not read the layer's input."""


def is_linear(module: nn.Module) -> bool:
    """Whether LoRA adapts the module as a linear map (transformers' Conv1D is one, transposed)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def attention_inputs(layer: nn.Module) -> list[str]:
    """The linear maps of a decoder layer's attention that read the layer's input: q, k, v or their fusion.

    Left out are output projections and gates, which are known by their names; where none is, the last map registered.

    Raises:
        FlipkdError: If the layer has no attention with linear maps.
    """
    for name, child in layer.named_children():
        if "attn" in name or "attention" in name:
            found = [f"{name}.{inner}" for inner, module in child.named_modules() if is_linear(module)]
            inputs = [path for path in found if path.rsplit(".", 1)[-1] not in _NOT_INPUTS]
            if len(found) > 1:
                return inputs if len(inputs) < len(found) else found[:-1]
    raise FlipkdError(f"{type(layer).__name__} has no attention flipkd can read; name the modules with --site-modules.")


def choose_sites(
    layers: Sequence[nn.Module], first_adapted: int, layer: int | None, modules: Sequence[str] | None
) -> tuple[str, ...]:
    """The sites, each ``"<layer index>.<module path>"``.

    Args:
        layers: The decoder's layers, before LoRA.
        first_adapted: Index of the lowest layer with an adapter.
        layer: The layer asked for; `None` takes five sixths up (docs/method.md section 2).
        modules: Module paths inside the layer; `None` takes what feeds the attention.

    Raises:
        FlipkdError: If the layer has no adapter or the module does not exist.
    """
    chosen = max(5 * len(layers) // 6, first_adapted) if layer is None else layer
    if not first_adapted <= chosen < len(layers):
        raise FlipkdError(
            f"The vectors cannot be read at layer {chosen}: adapters sit on layers {first_adapted} to "
            f"{len(layers) - 1}. Choose --site-layer among these."
        )
    names = list(modules) if modules else attention_inputs(layers[chosen])
    present = {name for name, module in layers[chosen].named_modules() if is_linear(module)}
    missing = [name for name in names if name not in present]
    if missing:
        raise FlipkdError(f"Layer {chosen} has no linear module {missing}; it has {sorted(present)}.")
    if layer is None:
        announce("site", f"layer {chosen}, {' + '.join(names)}", "five sixths up: later layers still read it")
    return tuple(f"{chosen}.{name}" for name in names)


def site_layer(site: str) -> int:
    """The layer index of a site."""
    return int(site.split(".", 1)[0])


class SiteReader:
    """Reads z = A x at the sites by forward hooks.

    Args:
        layers: The decoder's layers, with LoRA in place.
        sites: The sites, as `choose_sites` gives them.

    Raises:
        FlipkdError: If a site carries no LoRA A, or one whose dropout is on (it stands before A and would
            blur the vector), or a variant such as DoRA, which takes another branch.
    """

    def __init__(self, layers: Sequence[nn.Module], sites: Sequence[str]) -> None:
        from peft.tuners.lora import LoraLayer

        self.layers: list[Any] = []
        for site in sites:
            index, path = site.split(".", 1)
            module: Any = layers[int(index)].get_submodule(path)
            if not isinstance(module, LoraLayer):
                raise FlipkdError(f"Site {site} carries no LoRA adapter, so there is no vector to read there.")
            if not isinstance(module.lora_dropout["default"], nn.Identity):
                raise FlipkdError("LoRA dropout sits before A and would blur the vectors: set it to 0.")
            if module.lora_variant:
                raise FlipkdError(
                    f"Site {site} carries {type(module.lora_variant['default']).__name__}; the encoder can be read "
                    "from plain LoRA and rsLoRA only."
                )
            self.layers.append(module)
        self.width = sum(int(layer.lora_A["default"].out_features) for layer in self.layers)

    @contextmanager
    def reading(self, wanted: bool = True) -> Iterator[list[Tensor | None]]:
        """Within the context, the list holds each site's (tokens, r) output, in site order.

        Only the first output counts: under gradient checkpointing A runs again in the backward pass. Once B A is
        merged into the weights, A no longer runs in the layer and is applied to its input here.
        """
        captured: list[Tensor | None] = [None] * len(self.layers)

        def keep(slot: int) -> Any:
            def hook(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
                if captured[slot] is None:
                    down = module.lora_A["default"] if module is self.layers[slot] else None
                    z = output if down is None else down(args[0].to(down.weight.dtype))
                    captured[slot] = z.flatten(0, -2)  # (1, tokens, r), or with a dimension of heads between

            return hook

        handles = [
            (layer if layer.merged else layer.lora_A["default"]).register_forward_hook(keep(slot))
            for slot, layer in enumerate(self.layers)
            if wanted
        ]
        try:
            yield captured
        finally:
            for handle in handles:
                handle.remove()


def pool(captured: Sequence[Tensor], packed: Packed, pooling: Pooling) -> Tensor:
    """One unit vector a text from the A outputs at its own tokens (docs/method.md section 2).

    Args:
        captured: Per site (K, r), the outputs at the batch's ``text_token``.
        packed: The batch.
        pooling: `mean` over a text's tokens, or the `last` of them.

    Returns:
        (texts, sites * r) float32 of norm 1.

    Raises:
        AssertionError: If in training a captured output has no graph: reentrant checkpointing does that.
    """
    z = torch.cat(list(captured), dim=-1).float()
    if torch.is_grad_enabled():
        assert z.requires_grad, "the encoder's output has no graph: gradient checkpointing must be non-reentrant"
    if pooling == "last":
        pooled = z[packed["text_last"]]
    else:
        # The direction of the sum is that of the mean, and the length goes anyway.
        pooled = z.new_zeros(len(packed["text_last"]), z.shape[1]).index_add(0, packed["text_of"], z)
    return F.normalize(pooled, dim=-1)
