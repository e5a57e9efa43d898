"""What a matcher answers."""

from dataclasses import dataclass

import numpy as np

from flipkd.errors import FlipkdError


@dataclass(frozen=True)
class MatchResult:
    """The answer for one pair.

    Attributes:
        probability: Calibrated probability of a match.
        similarity: Cosine of the two texts' vectors, in [-1, 1]; NaN where the encoder was not asked.
        logit: The decoder's log-odds of match against no match, before calibration; NaN where the decoder was not
            asked.
        match: Whether the probability reaches the threshold.
        decision: `accept`, `review` or `reject` where the threshold policy has bands, else None.
    """

    probability: float
    similarity: float
    logit: float
    match: bool
    decision: str | None = None


@dataclass(frozen=True)
class Ranked:
    """A candidate and what is said of it.

    Attributes:
        index: Its place among the candidates.
        probability: Calibrated probability that it matches the query.
        similarity: Cosine of its vector and the query's, in [-1, 1]; NaN where the encoder was not asked.
        logit: The decoder's log-odds; NaN where the decoder was not asked.
        match: Whether the probability reaches the threshold.
        decision: `accept`, `review` or `reject` where the threshold policy has bands, else None.
    """

    index: int
    probability: float
    similarity: float
    logit: float
    match: bool
    decision: str | None = None


@dataclass(frozen=True)
class MatchArrays:
    """The answers for n pairs, in the order they were asked.

    Attributes:
        probability: (n,) float64.
        similarity: (n,) float64, NaN where the encoder was not asked.
        logit: (n,) float64, NaN where the decoder was not asked.
        match: (n,) bool.
        decision: (n,) str, `accept`, `review` or `reject`, where the threshold policy has bands, else None.
    """

    probability: np.ndarray
    similarity: np.ndarray
    logit: np.ndarray
    match: np.ndarray
    decision: np.ndarray | None = None

    @property
    def decisions(self) -> list[str | None]:
        """The decisions one by one, None for each where there are no bands."""
        return [None] * len(self.match) if self.decision is None else self.decision.tolist()

    def results(self) -> list[MatchResult]:
        """The answers one by one."""
        columns = (self.probability, self.similarity, self.logit, self.match)
        rows = zip(*(column.tolist() for column in columns), self.decisions, strict=True)
        return [MatchResult(*row) for row in rows]

    def best(self, top: int | None) -> list[Ranked]:
        """The answers by falling probability; equal ones stay in order.

        Args:
            top: How many; by default all.

        Raises:
            FlipkdError: If `top` is negative.
        """
        if top is not None and top < 0:
            raise FlipkdError(f"top is {top}; it must be at least 0, or None for all.")
        order = np.argsort(-self.probability, kind="stable")[:top].tolist()
        found = self.results()
        return [Ranked(i, **vars(found[i])) for i in order]

    @property
    def skipped(self) -> int:
        """How many pairs the decoder was not asked for."""
        return int(np.isnan(self.logit).sum())
