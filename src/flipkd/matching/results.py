"""What a matcher answers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MatchResult:
    """The answer for one pair.

    Attributes:
        probability: Calibrated probability of a match.
        similarity: Cosine of the two texts' vectors, in [-1, 1]; NaN where the encoder was not asked.
        logit: The decoder's log-odds of match against no match, before calibration; NaN where the decoder was not
            asked.
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
        similarity: (n,) float64, NaN where the encoder was not asked.
        logit: (n,) float64, NaN where the decoder was not asked.
        match: (n,) bool.
    """

    probability: np.ndarray
    similarity: np.ndarray
    logit: np.ndarray
    match: np.ndarray

    @property
    def skipped(self) -> int:
        """How many pairs the decoder was not asked for."""
        return int(np.isnan(self.logit).sum())


@dataclass(frozen=True)
class Ranked:
    """A candidate and what is said of it.

    Attributes:
        index: Its place among the candidates.
        probability: Calibrated probability that it matches the query.
        similarity: Cosine of its vector and the query's, in [-1, 1]; NaN where the encoder was not asked.
        logit: The decoder's log-odds; NaN where the decoder was not asked.
        match: Whether the probability reaches the stored threshold.
    """

    index: int
    probability: float
    similarity: float
    logit: float
    match: bool
