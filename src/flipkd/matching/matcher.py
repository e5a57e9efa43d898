"""`Matcher`: a saved artefact answers whether two texts mean the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer
from flipkd.matching.artefact import TEACHER_FOLDER, ArtefactSpec
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.model import Student
from flipkd.teacher.teacher import Teacher


@dataclass(frozen=True)
class MatchResult:
    """The answer for one pair.

    Attributes:
        probability: Calibrated probability of a match.
        similarity: Cosine of the two texts' vectors, in [-1, 1].
        logit: The decoder's log-odds of match against no match, before calibration.
        match: Whether the probability reaches the stored threshold.
    """

    probability: float
    similarity: float
    logit: float
    match: bool


@dataclass(frozen=True)
class MatchArrays:
    """The answers for n pairs, in the order they were asked.

    Attributes:
        probability: (n,) float64.
        similarity: (n,) float64.
        logit: (n,) float64.
        match: (n,) bool.
    """

    probability: np.ndarray
    similarity: np.ndarray
    logit: np.ndarray
    match: np.ndarray


class Matcher:
    """A loaded artefact. Make one with `from_pretrained`.

    Args:
        student: The student with its adapter.
        spec: What the artefact says of itself.
        teacher: The small model, where the artefact keeps it.
    """

    def __init__(self, student: Student, spec: ArtefactSpec, teacher: Teacher | None) -> None:
        self.student = student
        self.spec = spec
        self.teacher = teacher
        self.answer = Answer.from_dict(spec.answer)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, device: str | None = None, cache_dir: str | Path = "~/.cache/flipkd"
    ) -> "Matcher":
        """Load the artefact of a finished run.

        Args:
            folder: The run's output.
            device: Where to compute; by default a GPU where there is one.
            cache_dir: Where packaged students are kept once converted.

        Raises:
            FlipkdError: If the folder is no artefact, its base model is another one now, its template no longer
                fits the tokenizer, or the adapter loaded nothing.
        """
        from flipkd.device import choose_device
        from flipkd.student.adapter import load_adapter
        from flipkd.student.loading import load_student
        from flipkd.student.template import Template
        from flipkd.student.trunk import model_fingerprint

        folder, cache = Path(folder), Path(cache_dir).expanduser()
        spec = ArtefactSpec.read(folder)
        chosen = choose_device(device)
        base, tokenizer = load_student(spec.base_model, device=chosen, cache_dir=cache)
        if model_fingerprint(base) != spec.base_fingerprint:
            raise FlipkdError(
                f"{spec.base_model} is not the base model that {folder} was trained on: its weights differ. "
                "Point the artefact's base_model at the right one, or train again."
            )
        template = Template.from_dict(spec.template)
        template.check_tokenizer(tokenizer)
        student = load_adapter(
            base,
            tokenizer,
            template,
            folder,
            sites=spec.sites,
            pooling=spec.pooling,
            first_adapted=spec.first_adapted,
        )
        kept = spec.teacher.kept
        teacher = Teacher.load(str(folder / TEACHER_FOLDER), device=chosen, cache=False) if kept else None
        return cls(student, spec, teacher)

    def match(self, text_a: str, text_b: str) -> MatchResult:
        """Do two texts mean the same?"""
        return self.match_many([(text_a, text_b)])[0]

    def match_many(self, pairs: Iterable[tuple[str, str]], *, batch_tokens: int = 1024) -> list[MatchResult]:
        """Answer many pairs, each distinct one computed once, results in the order of the pairs.

        Args:
            pairs: The pairs of texts.
            batch_tokens: Padded tokens of a batch.

        Raises:
            FlipkdError: If a text is empty.
        """
        pairs = list(pairs)
        if not pairs:
            return []
        found = self.match_arrays([a for a, _ in pairs], [b for _, b in pairs], batch_tokens=batch_tokens)
        columns: Any = zip(found.probability, found.similarity, found.logit, found.match, strict=True)
        return [MatchResult(float(p), float(s), float(z), bool(m)) for p, s, z, m in columns]

    def match_arrays(
        self,
        text_a: Sequence[str],
        text_b: Sequence[str],
        *,
        batch_tokens: int = 1024,
        progress: str | None = None,
    ) -> MatchArrays:
        """As `match_many`, columns in and columns out."""
        reader = Reader(self.student, batch_tokens=batch_tokens, progress=progress)
        pairs = EncodedPairs.of(self.student, text_a, text_b)
        signals = reader.signals(pairs)
        log_odds = signals.log_odds
        if self.spec.symmetric:
            log_odds = (log_odds + reader.log_odds(pairs.swapped())) / 2
        columns = {"decoder": log_odds, "encoder": signals.similarity}
        if self.teacher is not None:
            columns["teacher"] = self.teacher.similarity(text_a, text_b)
        probability = self.answer.probability(columns)
        return MatchArrays(probability, signals.similarity, log_odds, probability >= self.answer.threshold)

    def encode(self, texts: Sequence[str], *, batch_tokens: int = 1024) -> np.ndarray:
        """Vectors for retrieval: their inner products are the similarities.

        Args:
            texts: n texts, none empty.
            batch_tokens: Padded tokens of a batch.

        Returns:
            (n, d) float32 of norm 1, from the layers up to the last site alone.
        """
        distinct = list(dict.fromkeys(texts))
        where = {text: i for i, text in enumerate(distinct)}
        ids = self.student.template.encode_texts(self.student.tokenizer, distinct)
        vectors = Reader(self.student, batch_tokens=batch_tokens).vectors(ids)
        return vectors[[where[text] for text in texts]]
