"""From the files of an artefact to what answers: base model, adapter, calibrator, and the kept teacher."""

from pathlib import Path
from typing import Any

import torch

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.matching.artefact import SPEC_FILE, TEACHER_FOLDER, ArtefactSpec, file_hash, vector_fingerprint
from flipkd.matching.validation import read_deciding
from flipkd.student.model import Student
from flipkd.teacher.teacher import Teacher


def load_parts(
    folder: Path,
    *,
    device: str | None,
    cache: Path,
    int8: bool,
    base: tuple[Any, Any] | None,
    policy: str | None,
    prior: float | None,
) -> tuple[Student, ArtefactSpec, Teacher | None, str]:
    """Load an artefact; arguments and errors as for `flipkd.matching.matcher.Matcher.from_pretrained`.

    Returns:
        The student with its adapter, what the artefact says of itself, the kept teacher if there is one, and the
        fingerprint of what its vectors come from.
    """
    from flipkd.device import choose_device
    from flipkd.student.adapter import load_adapter
    from flipkd.student.int8 import quantise
    from flipkd.student.loading import sharing_copy
    from flipkd.student.trunk import computing_numbers, model_fingerprint

    spec = read_deciding(folder, policy=policy, prior=prior)
    chosen = choose_device(device)
    model, base_tokenizer = base or load_base(folder, spec, device=chosen, cache=cache)
    if model_fingerprint(model) != spec.base_fingerprint:
        raise FlipkdError(
            f"{spec.base_model} is not the base model that {folder} was trained on: its weights differ. "
            f"Point base_model in {folder / SPEC_FILE} at the right one, or train again."
        )
    now = computing_numbers(model)
    # Another version of transformers may name other fields: what only one side has says nothing.
    for name, then in (spec.base_numbers or {}).items():
        if now.get(name, then) != then:
            raise FlipkdError(
                f"{spec.base_model} computes otherwise than when {folder} was trained: {name} in its config.json was "
                f"{then} and is {now[name]}. Put it back, or train again."
            )
    template = spec.stored_template()
    tokenizer = own_tokenizer(folder, spec) or base_tokenizer
    template.check_tokenizer(tokenizer)
    merges = next(model.parameters()).dtype == torch.float32
    if base is not None:
        model = sharing_copy(model, spec.first_adapted if merges else model.config.num_hidden_layers)
    student = load_adapter(
        model,
        tokenizer,
        template,
        folder,
        sites=spec.sites,
        pooling=spec.pooling,
        first_adapted=spec.first_adapted,
    )
    if merges:
        student.merge()
        announce("adapter", "merged into the weights", "fewer multiplications, and float32 loses nothing by it")
    if int8:
        quantise(student)
        announce("weights", "int8", "as asked; answers move a little")
    teacher = _kept_teacher(folder, spec, chosen) if spec.teacher.kept else None
    return student, spec, teacher, vector_fingerprint(folder, spec)


def load_base(folder: Path, spec: ArtefactSpec, *, device: str, cache: Path) -> tuple[Any, Any]:
    """The base model that an artefact names, and its tokenizer.

    Raises:
        FlipkdError: If it cannot be loaded.
    """
    from flipkd.student.loading import load_student

    try:
        return load_student(spec.base_model, device=device, cache_dir=cache)
    except FlipkdError as error:
        raise FlipkdError(
            f"{error} {folder / SPEC_FILE} names it: if it lies elsewhere now, write where as base_model; its weights "
            "are checked."
        ) from error


def own_tokenizer(folder: Path, spec: ArtefactSpec) -> Any | None:
    """The tokenizer that lies in the artefact, which its run read with; the base's may have changed since.

    Args:
        folder: The artefact.
        spec: What it says of itself.

    Returns:
        The tokenizer; None where the artefact holds none, so that the base's is read with.

    Raises:
        FlipkdError: If a file of it is gone, damaged, or another one than the run wrote.
    """
    from transformers import AutoTokenizer

    for name, written in (spec.tokenizer or {}).items():
        if not (folder / name).is_file() or file_hash(folder / name) != written:
            raise FlipkdError(
                f"{folder / name} is gone, or is another one than the run wrote: texts would be read as other tokens. "
                "Take the file from where the artefact came once more."
            )
    if not (folder / "tokenizer_config.json").is_file():
        return None
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise FlipkdError(
            f"The tokenizer in {folder} is damaged ({error}). Take its files from where the artefact came once more."
        ) from error


def _kept_teacher(folder: Path, spec: ArtefactSpec, device: str) -> Teacher:
    """The teacher that lies in the artefact.

    Raises:
        FlipkdError: If it leads out of the artefact, or is another than the one that joined the answer.
    """
    place = folder / TEACHER_FOLDER
    if place.is_symlink():
        raise FlipkdError(f"{place} is a link that leads out of the artefact. Copy the teacher's files there instead.")
    teacher = Teacher.load(str(place), device=device, cache=False)
    if teacher.revision != spec.teacher.revision:
        raise FlipkdError(f"{place} holds another teacher than the one this artefact was made with. Copy it again.")
    return teacher
