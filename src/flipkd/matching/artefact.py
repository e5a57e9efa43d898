"""What an artefact says of itself: `flipkd.json`, checked when it is read."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flipkd.errors import FlipkdError
from flipkd.student.template import Template

SPEC_FILE = "flipkd.json"
TEACHER_FOLDER = "teacher"


class TeacherRecord(BaseModel):
    """The teacher that was learnt from.

    Attributes:
        name: As the run was given it.
        revision: Its content fingerprint.
        kept: Whether it lies beside the student, in the folder `teacher`, and joins the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    revision: str
    kept: bool


class ArtefactSpec(BaseModel):
    """All that is needed to use an adapter, and where it comes from.

    Attributes:
        schema_version: Of this file. Version 1, which has no decision, is read as well.
        base_model: The student's base: hub id, folder or packaged alias, as the run was given it.
        base_fingerprint: A hash of the base's weights.
        template: The prompt as ids, see `flipkd.student.template.Template`.
        sites: Where the vectors are read.
        pooling: How positions become one vector.
        first_adapted: Index of the lowest layer with an adapter.
        directed: Whether the order of a and b has a meaning.
        symmetric: Whether the log-odds of both orders are averaged.
        answer: See `flipkd.evaluation.answer.Answer`.
        thresholds: The dual thresholds the training used.
        teacher: The teacher.
        data: Digest and row count of each split.
        config: The effective settings of the run.
        versions: Of the libraries.
        seed: Of the run.
        cascade: Where the encoder alone may answer, see `flipkd.evaluation.cascade.Band`; none where the answer has
            no decoder, no band could be fitted, or the run is older than the cascade.
        decision: What the threshold was chosen for and what it achieves, see `flipkd.evaluation.decisions.Decision`;
            none in version 1, whose threshold has the best F1.
        base_numbers: What the base's configuration says of how it computes, see
            `flipkd.student.trunk.computing_numbers`; none in artefacts that are older than this.
        tokenizer: SHA-256 of each of the tokenizer's files beside it; none in artefacts that are older than this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Literal[1, 2] = 2
    base_model: str
    base_fingerprint: str
    template: dict[str, Any]
    sites: tuple[str, ...]
    pooling: Literal["mean", "last"]
    first_adapted: int
    directed: bool
    symmetric: bool
    answer: dict[str, Any]
    thresholds: dict[str, Any]
    teacher: TeacherRecord
    data: dict[str, dict[str, Any]]
    config: dict[str, Any]
    versions: dict[str, str]
    seed: int
    cascade: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None
    base_numbers: dict[str, str] | None = None
    tokenizer: dict[str, str] | None = None

    def stored_template(self) -> Template:
        """The template, whose cap must be the one that thresholds were fitted under.

        Raises:
            FlipkdError: If a field is missing or unknown, or `max_text_tokens` was edited.
        """
        template = Template.from_dict(self.template)
        fitted = self.config.get("max_text_tokens", template.max_text_tokens)
        if template.max_text_tokens != fitted:
            raise FlipkdError(
                f"{SPEC_FILE}: template.max_text_tokens is {template.max_text_tokens!r}, but the artefact was trained "
                f"and its thresholds fitted with {fitted!r}. Put that back, or train again with --max-text-tokens."
            )
        return template

    def write(self, folder: Path) -> None:
        """Write `flipkd.json`."""
        (folder / SPEC_FILE).write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "ArtefactSpec":
        """Read and check `flipkd.json`.

        Raises:
            FlipkdError: If it is missing, of another schema version, or not what was written.
        """
        file = folder / SPEC_FILE
        if not file.is_file():
            raise FlipkdError(
                f"{folder} is no flipkd artefact: it has no {SPEC_FILE}. Give the --output of a finished run."
            )
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise FlipkdError(
                f"{file}: {place}: {first['msg']}. The artefact was written by another version of flipkd, or edited."
            ) from error


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def vector_fingerprint(folder: Path, spec: ArtefactSpec) -> str:
    """A hash of all that an artefact's vectors come from; calibration and threshold have no part in it.

    Args:
        folder: The artefact.
        spec: What it says of itself.
    """
    digest = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes())
    settings = [spec.base_fingerprint, spec.template, spec.sites, spec.pooling, spec.first_adapted]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def artefact_hash(folder: Path) -> str:
    """16 hexadecimal digits that change with an artefact's adapter, settings, calibration or teacher's revision."""
    digest = hashlib.sha256()
    for name in (SPEC_FILE, "adapter_model.safetensors"):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()[:16]
