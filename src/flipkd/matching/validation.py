"""What validation said, kept beside an artefact so that thresholds can be chosen anew without training."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.calibrators import prior_shift
from flipkd.evaluation.cascade import fit_band
from flipkd.evaluation.policies import Policy, decide
from flipkd.matching.artefact import ArtefactSpec

RECORD_FILE = Path("evaluation") / "validation.json"
"""Where an artefact keeps it. JSON, as all that is read back; without texts, some 60 bytes a pair."""


class ValidationRecord(BaseModel):
    """Labels and numbers of the validation pairs, in their order.

    Attributes:
        digest: Of the pairs, as in `flipkd.json`.
        label: (n,) 0 or 1.
        probability: (n,) what the answer said of rows that its fit did not see; thresholds are chosen on it.
        signals: (n,) by source, what the answer and the cascade's band read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    digest: str
    label: tuple[Literal[0, 1], ...]
    probability: tuple[float, ...]
    signals: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _one_length(self) -> "ValidationRecord":
        if {len(self.label)} != {len(column) for column in (self.probability, *self.signals.values())}:
            raise ValueError("the columns are not of one length")
        return self

    def write(self, folder: Path) -> None:
        """Write `evaluation/validation.json`, whose folder must be there."""
        (folder / RECORD_FILE).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, spec: ArtefactSpec) -> "ValidationRecord":
        """Read and check an artefact's record.

        Args:
            folder: The artefact.
            spec: What it says of itself.

        Raises:
            FlipkdError: If it is missing, of other pairs than the artefact's, or not what was written.
        """
        file = folder / RECORD_FILE
        if not file.is_file():
            raise FlipkdError(
                f"{file} is not there, which another threshold policy or prior is chosen from: the artefact is older "
                "than it, or the file was deleted. Use the artefact as it is, or train again."
            )
        try:
            found = cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise FlipkdError(
                f"{file}: {place}: {first['msg']}. It was edited: take it from where it was made."
            ) from error
        if found.digest != spec.data.get("validation", {}).get("digest"):
            raise FlipkdError(f"{file} is of other pairs than this artefact's validation. Put its own file there.")
        return found


def decide_again(
    spec: ArtefactSpec, record: ValidationRecord, *, policy: str | None = None, prior: float | None = None
) -> ArtefactSpec:
    """An artefact with other thresholds, or for another match rate; nothing is trained and no calibrator fitted.

    Args:
        spec: The artefact as it was written.
        record: Its validation.
        policy: The policy in words, see `flipkd.evaluation.policies.Policy`; by default the artefact's own.
        prior: The share of matches where it is used; by default validation's. It moves every log-odds, and the policy
            is then kept on validation weighed to that share.

    Returns:
        The spec with another answer, decision and cascade, the band fitted anew to the new decisions.

    Raises:
        FlipkdError: If there is no such policy, it can't be kept on validation, or the prior is not above 0 and below
            1.
    """
    answer = Answer.from_dict(spec.answer)
    if prior is not None:
        answer = answer.at_prior(prior)
    kept = "f1" if spec.decision is None else spec.decision["policy"]
    label = np.asarray(record.label)
    decision = decide(Policy.parse(policy or kept), record.probability, label, prior=prior)
    answer = replace(answer, threshold=decision.threshold)
    band, _ = fit_band(answer, record.signals, label, seed=spec.seed, reject=decision.reject)
    changed = {
        "answer": answer.as_dict(),
        "decision": decision.as_dict(),
        "cascade": None if band is None else band.as_dict(),
    }
    return spec.model_copy(update=changed)


def read_deciding(folder: Path, *, policy: str | None = None, prior: float | None = None) -> ArtefactSpec:
    """What an artefact says of itself, its thresholds chosen anew where that is asked for, which is printed.

    Args:
        folder: The artefact.
        policy: As for `decide_again`.
        prior: As for `decide_again`.

    Raises:
        FlipkdError: As for `ArtefactSpec.read`, `ValidationRecord.read` and `decide_again`.
    """
    spec = ArtefactSpec.read(folder)
    if policy is None and prior is None:
        return spec
    made = decide_again(spec, ValidationRecord.read(folder, spec), policy=policy, prior=prior)
    if prior is not None:
        rate = spec.answer["match_rate"]
        move = prior_shift(rate, prior)
        announce("prior", f"{prior:g}", f"{rate:.3g} of the validation pairs are matches: log-odds move by {move:+.3f}")
    if made.decision is not None:
        announce("threshold", f"{made.answer['threshold']:.4f}", made.decision["reason"])
    return made
