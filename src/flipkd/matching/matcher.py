"""`Matcher`: a saved artefact answers whether two texts mean the same."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.data.given import given_pairs, given_texts
from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import Band
from flipkd.evaluation.decisions import Decision
from flipkd.matching.artefact import ArtefactSpec
from flipkd.matching.loading import load_parts
from flipkd.matching.ranking import Entries
from flipkd.matching.results import MatchArrays, MatchResult, Ranked
from flipkd.matching.vectors import VectorCache
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.model import Student
from flipkd.teacher.teacher import Teacher


class Matcher:
    """A loaded artefact. Make one with `from_pretrained`.

    Args:
        student: The student with its adapter.
        spec: What the artefact says of itself.
        teacher: The small model, where the artefact keeps it.
        fingerprint: Of what the vectors come from, see `flipkd.matching.artefact.vector_fingerprint`.
    """

    def __init__(
        self, student: Student, spec: ArtefactSpec, teacher: Teacher | None, fingerprint: str | None = None
    ) -> None:
        self.student = student
        self.spec = spec
        self.teacher = teacher
        self.fingerprint = fingerprint
        self.answer = Answer.from_dict(spec.answer)
        self.band = None if spec.cascade is None else Band.from_dict(spec.cascade)
        self.decision = None if spec.decision is None else Decision.from_dict(spec.decision)
        self.bands = self.decision if self.decision is not None and self.decision.bands else None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str | None = None,
        cache_dir: str | Path = "~/.cache/flipkd",
        int8: bool = False,
        base: tuple[Any, Any] | None = None,
        policy: str | None = None,
        prior: float | None = None,
    ) -> "Matcher":
        """Load the artefact of a finished run.

        Args:
            folder: The run's output.
            device: Where to compute; by default a GPU where there is one.
            cache_dir: Where packaged students are kept once converted.
            int8: Round the student's weights to int8, on a CPU: about twice as fast, and answers move a little.
            base: The base model and its tokenizer, where they are loaded already; the tokenizer in the artefact goes
                before. They are left as they are, so that
                several artefacts share them: the layers below the adapter always, those with it where it is not merged.
            policy: Another threshold policy than the artefact's, such as ``precision=0.95`` or ``bands=0.95:0.99``, see
                `flipkd.evaluation.policies.Policy`. It is kept on the artefact's validation pairs.
            prior: The share of matches where the artefact is used, if it is another than validation's: probabilities
                are re-weighted, and the policy is kept at that share (`flipkd.matching.validation.decide_again`).

        Raises:
            FlipkdError: If the folder is no artefact, its base model or tokenizer is another one now, its template no
                longer fits the tokenizer, the adapter loaded nothing, int8 is asked for elsewhere than on a CPU, or the
                policy or prior can't be had.
        """
        return cls(
            *load_parts(
                Path(folder).expanduser(),
                device=device,
                cache=Path(cache_dir).expanduser(),
                int8=int8,
                base=base,
                policy=policy,
                prior=prior,
            )
        )

    def match(self, text_a: str, text_b: str) -> MatchResult:
        """Do two texts mean the same?"""
        return self.match_many([(text_a, text_b)])[0]

    def match_many(
        self, pairs: Iterable[tuple[str, str]], *, batch_tokens: int = 1024, cascade: bool = False
    ) -> list[MatchResult]:
        """Answer many pairs, each distinct one computed once, results in the order of the pairs.

        Only what the artefact's answer uses is computed: without the decoder in it `logit` is NaN, without the encoder
        `similarity` is.

        Args:
            pairs: The pairs of texts.
            batch_tokens: Tokens of a batch.
            cascade: Ask the decoder in the artefact's band alone; outside of it the encoder's calibrated probability
                answers (`flipkd.evaluation.cascade.Band`).

        Raises:
            FlipkdError: If an item is no pair of texts, a text is empty, or the artefact has no band to cascade by.
        """
        text_a, text_b = given_pairs(pairs)
        if not text_a:
            return []
        return self.match_arrays(text_a, text_b, batch_tokens=batch_tokens, cascade=cascade).results()

    def match_arrays(
        self,
        text_a: Sequence[str],
        text_b: Sequence[str],
        *,
        batch_tokens: int = 1024,
        cascade: bool = False,
        known: VectorCache | None = None,
        similarity: np.ndarray | None = None,
    ) -> MatchArrays:
        """As `match_many`, columns in and columns out.

        Args:
            text_a: n texts.
            text_b: n texts.
            batch_tokens: Tokens of a batch.
            cascade: As for `match_many`.
            known: Vectors of earlier calls, read and added to where the encoder is read alone.
            similarity: (n,) float64 similarities of the pairs, where they are known: the encoder is not asked.

        Raises:
            FlipkdError: As `match_many`, or if the columns are of different lengths.
        """
        text_a, text_b = given_texts(text_a, "text_a"), given_texts(text_b, "text_b")
        if len(text_a) != len(text_b):
            raise FlipkdError(f"text_a has {len(text_a)} texts and text_b {len(text_b)}: each pair needs one of both.")
        band = self.require_band() if cascade else None
        reader = Reader(self.student, batch_tokens=batch_tokens)
        pairs = EncodedPairs.of(self.student, text_a, text_b, counted=False)
        if band is None and "decoder" in self.answer.sources:
            if similarity is not None:
                log_odds = reader.log_odds(pairs)
            elif "encoder" in self.answer.sources:
                signals = reader.signals(pairs)
                log_odds, similarity = signals.log_odds, signals.similarity
            else:
                log_odds, similarity = reader.log_odds(pairs), np.full(len(pairs.a), np.nan)
            logit = self._both_orders(reader, pairs, log_odds)
            return self._arrays(self._full(logit, similarity, text_a, text_b), similarity, logit)

        if similarity is None:
            vectors = reader.vectors(pairs.ids) if known is None else known.read(pairs.ids, reader.vectors)
            similarity = np.einsum("nd,nd->n", vectors[pairs.a], vectors[pairs.b], dtype=np.float64)
        logit = np.full(len(similarity), np.nan)
        probability = (self.answer if band is None else band.encoder).probability({"encoder": similarity})
        asked: list[int] = [] if band is None else np.flatnonzero(band.asks(similarity)).tolist()
        if asked:
            some = EncodedPairs(pairs.ids, pairs.a[asked], pairs.b[asked])
            logit[asked] = self._both_orders(reader, some, reader.log_odds(some))
            texts = ([column[row] for row in asked] for column in (text_a, text_b))
            probability[asked] = self._full(logit[asked], similarity[asked], *texts)
        return self._arrays(probability, similarity, logit)

    def entries(
        self, texts: Sequence[str], *, query_tokens: int = 16, limit_gb: float = 2.0, batch_tokens: int = 1024
    ) -> Entries:
        """Prepare a fixed set of texts, such as a FAQ, for many calls of `rank`.

        Their vectors are computed once (those of a kept teacher at every call). Where entries are longer than queries,
        an entry becomes text a of its pairs and its keys and values are kept, so that a query costs its own tokens
        alone; the choice is printed.

        Args:
            texts: The entries, none empty.
            query_tokens: How long queries are expected to be, in tokens.
            limit_gb: The most memory, in GiB, that keys and values may take; entries beyond it are computed anew.
            batch_tokens: Tokens of a batch.

        Raises:
            FlipkdError: If there is no entry, or one is no text or empty.
        """
        return Entries(
            self.student,
            given_texts(texts),
            sources=self.answer.sources,
            directed=self.spec.directed,
            query_tokens=query_tokens,
            limit_gb=limit_gb,
            batch_tokens=batch_tokens,
        )

    def rank(
        self, query: str, candidates: Sequence[str] | Entries, *, top: int | None = None, batch_tokens: int = 1024
    ) -> list[Ranked]:
        """The candidates by falling probability that they match the query.

        With plain texts the query is text a, so its part of the prompt is computed once for all that share a batch.

        Args:
            query: The query.
            candidates: Texts, or what `entries` prepared.
            top: How many to give; by default all.
            batch_tokens: Tokens of a batch.

        Raises:
            FlipkdError: If a text is none or empty.
        """
        (query,) = given_texts([query], "query")
        if isinstance(candidates, Entries):
            return self._against(query, candidates, batch_tokens).best(top)
        texts = given_texts(candidates, "candidates")
        if not texts:
            return []
        return self.match_arrays([query] * len(texts), texts, batch_tokens=batch_tokens).best(top)

    def _against(self, query: str, entries: Entries, batch_tokens: int) -> MatchArrays:
        reader = Reader(self.student, batch_tokens=batch_tokens)
        (ids,) = self.student.template.encode_texts(self.student.tokenizer, [query], counted=False)
        similarity = np.full(len(entries.ids), np.nan)
        if entries.vectors is not None:
            similarity = entries.vectors.astype(np.float64) @ reader.vectors([ids])[0].astype(np.float64)
        if "decoder" not in self.answer.sources:
            probability = self.answer.probability({"encoder": similarity})
            return self._arrays(probability, similarity, np.full(len(similarity), np.nan))
        logit = entries.log_odds(reader, ids)
        if self.spec.symmetric:
            n, query_at = len(entries.ids), np.zeros(len(entries.ids), dtype=np.int64)
            pairs = EncodedPairs([ids, *entries.ids], query_at, np.arange(1, n + 1))
            logit = (logit + reader.log_odds(pairs if entries.entry_first else pairs.swapped())) / 2
        probability = self._full(logit, similarity, [query] * len(entries.texts), entries.texts)
        return self._arrays(probability, similarity, logit)

    def require_band(self) -> Band:
        """The band of the cascade.

        Raises:
            FlipkdError: If the artefact has none.
        """
        if self.band is not None:
            return self.band
        if "decoder" not in self.answer.sources:
            raise FlipkdError(
                "There is nothing to cascade: this artefact's answer never asks the decoder, so every pair already "
                "costs no more than its vectors. Leave cascade away."
            )
        raise FlipkdError(
            "This artefact has no band to cascade by: its run had too few validation pairs to fit one, no pair could "
            "skip the decoder, or it is older than the cascade. Its model card may say which. Match without cascade, "
            "or train again."
        )

    def _both_orders(self, reader: Reader, pairs: EncodedPairs, log_odds: np.ndarray) -> np.ndarray:
        """The log-odds, averaged with those of the swapped pairs if the artefact does so."""
        return (log_odds + reader.log_odds(pairs.swapped())) / 2 if self.spec.symmetric else log_odds

    def _full(
        self, logit: np.ndarray, similarity: np.ndarray, text_a: Sequence[str], text_b: Sequence[str]
    ) -> np.ndarray:
        """The probability by all signals that the answer uses."""
        columns = {"decoder": logit, "encoder": similarity}
        if self.teacher is not None:
            columns["teacher"] = self.teacher.similarity(text_a, text_b)
        return self.answer.probability(columns)

    def _arrays(self, probability: np.ndarray, similarity: np.ndarray, logit: np.ndarray) -> MatchArrays:
        threshold = self.answer.threshold
        named = None if self.bands is None else self.bands.name(probability, threshold)
        return MatchArrays(probability, similarity, logit, probability >= threshold, named)

    def encode(self, texts: Sequence[str], *, batch_tokens: int = 1024) -> np.ndarray:
        """Vectors for retrieval: their inner products are the similarities.

        Args:
            texts: n texts, none empty.
            batch_tokens: Tokens of a batch.

        Returns:
            (n, d) float32 of norm 1, from the layers up to the last site alone.

        Raises:
            FlipkdError: If it is one text and not a list, or a text is none or empty.
        """
        texts = given_texts(texts)
        distinct = list(dict.fromkeys(texts))
        where = {text: i for i, text in enumerate(distinct)}
        ids = self.student.template.encode_texts(self.student.tokenizer, distinct, counted=False)
        vectors = Reader(self.student, batch_tokens=batch_tokens).vectors(ids)
        return vectors[[where[text] for text in texts]]
