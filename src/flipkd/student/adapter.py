"""Give a student a LoRA adapter, and read one back (PEFT does both)."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.student.model import Student
from flipkd.student.sites import Pooling, choose_sites, is_linear
from flipkd.student.template import Template
from flipkd.student.view import layers_name

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_READ = ("r", "lora_alpha", "target_modules", "layers_to_transform", "layers_pattern")
"""The fields of an adapter's configuration that `add_adapter` sets and `load_adapter` reads."""

AdaptLayers = int | Literal["all", "auto"]


def first_adapted_layer(adapt_layers: AdaptLayers, layers: int, device: str) -> int:
    """The index of the lowest layer that gets an adapter.

    Args:
        adapt_layers: How many of the top layers, `all`, or `auto`.
        layers: How many the student has.
        device: Full depth is the automatic choice on a GPU only.

    Raises:
        FlipkdError: If the number is not between 1 and `layers`.
    """
    if adapt_layers == "auto":
        if device.startswith("cuda"):
            announce("adapted layers", f"all {layers}", "a GPU affords full depth")
            return 0
        top = max(1, round(layers * 14 / 30))
        announce("adapted layers", f"top {top} of {layers}", "on a CPU the frozen layers below are computed once")
        return layers - top
    if adapt_layers == "all":
        return 0
    if not 1 <= adapt_layers <= layers:
        raise FlipkdError(f"--adapt-layers is {adapt_layers}; this student has {layers} layers.")
    return layers - adapt_layers


def add_adapter(
    model: Any,
    tokenizer: Any,
    template: Template,
    *,
    adapt_layers: AdaptLayers,
    rank: int,
    alpha: float,
    site_layer: int | None,
    site_modules: list[str] | None,
    pooling: Pooling,
    seed: int,
) -> Student:
    """A fresh adapter on all linear modules of the top layers; on those of the attention where the layers hold experts.

    Args:
        model: The base model, which is changed in place.
        tokenizer: Its tokenizer.
        template: The prompt as ids.
        adapt_layers: How many of the top layers get one.
        rank: r of LoRA, which is also the width of the vector at each site.
        alpha: LoRA's scale, over r.
        site_layer: See `choose_sites`.
        site_modules: See `choose_sites`.
        pooling: See `pool`.
        seed: Seeds the draw of A, which happens here, before any trainer could seed it.

    Raises:
        FlipkdError: If a layer or module that is asked for is not there, PEFT puts the adapter into others, or the
            model cannot be read as `Student` reads it.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    decoder = model.get_decoder()
    name = layers_name(decoder)
    layers = getattr(decoder, name)
    first = first_adapted_layer(adapt_layers, len(layers), str(model.device))
    sites = choose_sites(layers, first, site_layer, site_modules)
    modules = _adapted_modules(layers[-1])
    set_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=modules,
        layers_to_transform=list(range(first, len(layers))),
        layers_pattern=name,
    )
    with warnings.catch_warnings():
        # PEFT still asks transformers by a name that is deprecated.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapted = get_peft_model(model, config)
    amiss = [path for path in adapter_state(adapted) if int(path.split(f".{name}.")[-1].split(".")[0]) < first]
    if amiss:
        raise FlipkdError(
            f"PEFT adapts {len(amiss)} maps below layer {first}, the lowest that was asked for, first {amiss[0]}. "
            "Choose another student, or --adapt-layers all."
        )
    student = Student(adapted, tokenizer, template, sites=sites, pooling=pooling, first_adapted=first)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    total = sum(p.numel() for p in adapted.parameters())
    announce("adapter", f"r = {rank}", f"{trained:,} of {total:,} parameters are trained, {trained / total:.2%}")
    announce("adapter's start", adapter_digest(adapted)[:12], f"a hash of A as seed {seed} draws it")
    return student


def _adapted_modules(layer: nn.Module) -> list[str]:
    """The names of a layer's linear modules, as PEFT matches them at the end of a path."""
    linear = [path for path, module in layer.named_modules() if is_linear(module)]
    # Experts are one tensor for all. PEFT takes the names of a shared expert's maps for theirs, and adapts those of all
    # layers, however few are asked for.
    if any(parameter.dim() == 3 for parameter in layer.parameters()):
        linear = [path for path in linear if "attn" in path or "attention" in path]
        announce("adapted modules", "those of the attention", "the layers hold experts, which share one tensor")
    return sorted({path.rsplit(".", 1)[-1] for path in linear})


def load_adapter(
    model: Any,
    tokenizer: Any,
    template: Template,
    folder: Path,
    *,
    sites: tuple[str, ...],
    pooling: Pooling,
    first_adapted: int,
    trainable: bool = False,
) -> Student:
    """Read the adapter in `folder` onto a base model.

    Only what `add_adapter` sets is read of `adapter_config.json`, and weights from safetensors alone: PEFT would follow
    a file that says otherwise, and read a pickle where there are no safetensors.

    Raises:
        FlipkdError: If a file is missing or damaged, the weights do not fit the base, are not finite or not all there,
            or nothing was loaded (every B is zero).
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise FlipkdError(f"{folder} has no {name}. Copy the artefact again, whole, or train again.")
    try:
        stored = json.loads((folder / ADAPTER_CONFIG).read_bytes())
        config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **{key: stored[key] for key in _READ})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error, below
            adapted = PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise FlipkdError(
            f"The adapter in {folder} does not fit the base model, or is damaged: {error}. Copy the artefact again, or "
            "train again."
        ) from error
    require_finite(adapter_state(adapted), f"The adapter in {folder}")
    if not max(adapter_norms(adapted).values(), default=0.0) > 0.0:
        raise FlipkdError(f"The adapter in {folder} loaded nothing: all its B matrices are zero.")
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as weights:
        amiss = sorted(expected ^ set(weights.keys()))
    if amiss:
        raise FlipkdError(
            f"The adapter in {folder} is not whole: {len(amiss)} weights are missing or too many, first {amiss[0]}. "
            "Copy the artefact again, or train again."
        )
    return Student(adapted, tokenizer, template, sites=sites, pooling=pooling, first_adapted=first_adapted)


def adapter_norms(model: Any) -> dict[str, float]:
    """The norm of each LoRA B, by parameter name; all zero means that nothing was trained or loaded."""
    return {name: float(p.detach().norm()) for name, p in model.named_parameters() if ".lora_B." in name}


def adapter_state(model: Any) -> dict[str, Tensor]:
    """The adapter's parameters by name."""
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if ".lora_" in name}


def require_finite(state: Mapping[str, Tensor], what: str) -> None:
    """Refuse an adapter with NaN or infinity in it.

    Args:
        state: Its parameters by name.
        what: Whose they are, for the message.

    Raises:
        FlipkdError: If a number in it is not finite.
    """
    broken = [name for name, value in state.items() if not value.isfinite().all()]
    if broken:
        raise FlipkdError(
            f"{what} is broken: {len(broken)} of {len(state)} weights hold NaN or infinity, first {broken[0]}. "
            "Train again, with a lower learning rate."
        )


def adapter_digest(model: Any) -> str:
    """A hash of the adapter's numbers, hexadecimal: two runs that begin alike show the same."""
    digest = hashlib.sha256()
    for name, value in adapter_state(model).items():
        digest.update(name.encode())
        digest.update(value.float().cpu().numpy().tobytes())
    return digest.hexdigest()
