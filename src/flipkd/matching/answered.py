"""Labelled pairs with an artefact's answers: those it kept of its run, or given now."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flipkd.console import announce
from flipkd.data.labels import label_of
from flipkd.data.reader import read_pairs
from flipkd.data.relabel import Listed, listed
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.evaluation.decisions import REVIEW
from flipkd.evaluation.predictions import PREDICTIONS, answer_column, numbers
from flipkd.matching.artefact import ArtefactSpec
from flipkd.matching.matcher import Matcher


@dataclass(frozen=True, eq=False)
class Answered:
    """Labelled pairs and what was answered."""

    table: PairTable
    """The pairs, with the file and the lines they come from."""
    probability: np.ndarray
    """(n,) float64."""
    match: np.ndarray
    """(n,) bool."""
    review: np.ndarray | None
    """(n,) bool, what the threshold policy leaves to somebody; None without bands."""
    teacher: np.ndarray | None
    """(n,) float64, the teacher's similarity; None where there is no teacher to ask."""
    tau_p: float
    """The teacher is sure of a match from this similarity on."""
    tau_n: float
    """And of none up to this one."""


def answers_of(
    folder: Path, pairs: PairTable | None, *, device: str | None = None, cache_dir: str | Path = "~/.cache/flipkd"
) -> Answered:
    """The answers of an artefact to labelled pairs.

    Args:
        folder: The artefact.
        pairs: Pairs to answer now; None takes the predictions that its run kept.
        device: Where to compute.
        cache_dir: Where packaged students are kept once converted.

    Raises:
        FlipkdError: If the folder is no artefact, or keeps no predictions.
    """
    spec = ArtefactSpec.read(folder)
    tau_p, tau_n = spec.thresholds["tau_p"], spec.thresholds["tau_n"]
    if pairs is not None:
        matcher = Matcher.from_pretrained(folder, device=device, cache_dir=cache_dir)
        found = matcher.match_arrays(pairs.text_a, pairs.text_b)
        teacher: np.ndarray | None = (
            None if matcher.teacher is None else matcher.teacher.similarity(pairs.text_a, pairs.text_b)
        )
        review = None if found.decision is None else found.decision == REVIEW
        return Answered(pairs, found.probability, found.match, review, teacher, tau_p, tau_n)
    file = folder / PREDICTIONS
    if not file.is_file():
        raise FlipkdError(f"{file} is missing. Give --pairs, a labelled file to answer now.")
    said = read_pairs(str(file), columns={name: name for name in ("text_a", "text_b", "label")}, empty="keep")
    probability = numbers(said, answer_column(spec.answer["sources"]))
    match = np.array([label_of(cell) == 1 for cell in said.extra["match"]])
    review = np.array(said.extra["decision"]) == REVIEW if "decision" in said.extra else None
    teacher = numbers(said, "teacher") if "teacher" in said.extra else None
    return Answered(_from_its_file(said, spec), probability, match, review, teacher, tau_p, tau_n)


def _from_its_file(said: PairTable, spec: ArtefactSpec) -> PairTable:
    """The pairs with their lines in the file that the run read them from, where it still holds them."""
    source = spec.data.get("test", spec.data["validation"])["source"]
    reason = f"{source}, from which they were read, is not there; run this where the run was started"
    if Path(source).is_file():
        reason = f"{source}, from which they were read, has changed since"
        try:
            original = read_pairs(
                source,
                columns=spec.config["columns"],
                encoding=spec.config["encoding"],
                delimiter=spec.config.get("delimiter"),  # artefacts of earlier versions name none
                empty=spec.config["empty"],
            )
            rows = _rows_in(said, original)
        except FlipkdError as error:
            rows, reason = None, f"{reason}: {error}"
        if rows is not None:
            return original.select(rows)
    announce("lines", f"those of {said.source}", f"{reason}, so new labels can be merged into this file alone")
    return said


def _rows_in(part: PairTable, whole: PairTable) -> list[int] | None:
    """The rows of a table that hold the rows of another, in order; None where they do not."""
    sides = [list(zip(t.text_a, t.text_b, t.require_labels().tolist(), strict=True)) for t in (part, whole)]
    rows, at = [], 0
    for pair in sides[0]:
        try:
            at = sides[1].index(pair, at) + 1
        except ValueError:
            return None
        rows.append(at - 1)
    return rows


WORDS = ("no match", "match")


def describe_mistakes(found: Answered, rows: Sequence[int]) -> list[Listed]:
    """Mistakes as a list for relabelling.

    Args:
        found: The answers.
        rows: The mistakes, see `flipkd.evaluation.mistakes.worst_mistakes`.
    """
    return [_described(found, row, f"decided {WORDS[int(found.match[row])]}, ") for row in rows]


def describe_noise(found: Answered, rows: Sequence[int]) -> list[Listed]:
    """Likely label noise as a list for relabelling.

    Args:
        found: The answers, with a teacher's.
        rows: See `flipkd.evaluation.mistakes.likely_label_noise`.
    """
    label = found.table.require_labels()
    sure = [f"teacher >= {found.tau_p:.3f}", f"teacher <= {found.tau_n:.3f}"]
    return [
        _described(found, row, f"teacher and student say {WORDS[1 - label[row]]}, {sure[label[row]]}, ") for row in rows
    ]


def _described(found: Answered, row: int, why: str) -> Listed:
    further = {"probability": f"{found.probability[row]:.6f}"}
    if found.teacher is not None:
        further["teacher"] = f"{found.teacher[row]:.6f}"
    label = WORDS[found.table.require_labels()[row]]
    return listed(found.table, row, f"{why}probability {found.probability[row]:.3f}; the label says {label}", further)
