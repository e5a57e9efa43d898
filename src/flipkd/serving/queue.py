"""The queue of rows that wait: whose turn it is, and how much may wait.

Requests share the model as if each had an equal part of it (weighted fair queueing): a request's rows are due at the
time at which they would be done, were every waiting request computed a few tokens at a time, and rows are handed out
by that time. So a short text is not kept by a long one, nor by a request of many rows, and neither of these starves.
"""

import heapq
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any


class QueueFull(Exception):  # noqa: N818 - the caller answers it
    """There is no room for a request's rows."""


@dataclass(eq=False)
class Job:
    """The rows of one request.

    Attributes:
        key: What computes them; a batch has rows of one key.
        rows: What is computed, one answer each.
        tokens: Tokens of each row.
        arrived: When, by the clock of the caller.
        taken: How many rows were handed out.
        due: When its next row is due, in the queue's own time.
        gone: Whether it was dropped.
    """

    key: Hashable
    rows: Sequence[Any]
    tokens: Sequence[int]
    arrived: float = 0.0
    taken: int = 0
    due: float = 0.0
    gone: bool = False


@dataclass
class Share:
    """The rows of one job in a batch: those from `start` to `stop`."""

    job: Job
    start: int
    stop: int


@dataclass
class FairQueue:
    """Jobs that wait.

    Attributes:
        max_rows: Rows that may wait.
        max_tokens: Tokens that may wait.
        rows: That wait now.
        tokens: That wait now.
        jobs: That have rows waiting.
    """

    max_rows: int
    max_tokens: int
    rows: int = 0
    tokens: int = 0
    jobs: int = 0
    _time: float = 0.0
    _heaps: dict[Hashable, list[tuple[float, int, Job]]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def add(self, job: Job) -> None:
        """Let a job wait; an empty queue takes any.

        Raises:
            QueueFull: If there is no room for it.
        """
        tokens = sum(job.tokens)
        if self.rows and (self.rows + len(job.rows) > self.max_rows or self.tokens + tokens > self.max_tokens):
            raise QueueFull
        self.rows, self.tokens, self.jobs = self.rows + len(job.rows), self.tokens + tokens, self.jobs + 1
        job.due = self._time + job.tokens[0]
        heapq.heappush(self._heaps.setdefault(job.key, []), (job.due, next(self._numbers), job))

    def drop(self, job: Job) -> None:
        """Forget the rows of a job that were not handed out."""
        if job.gone or job.taken == len(job.rows):
            return
        job.gone = True
        self.rows -= len(job.rows) - job.taken
        self.tokens -= sum(job.tokens[job.taken :])
        self.jobs -= 1
        if not self.rows:
            self._heaps.clear()

    def take(self, budget: int) -> list[Share]:
        """The rows of the next batch: those due first, of one key.

        Args:
            budget: Tokens of a batch; a row that is longer makes a batch of its own.
        """
        heads = [heap for heap in map(self._cleaned, list(self._heaps)) if heap]
        if not heads:
            return []
        heap, sharing, used = min(heads), self.jobs, 0
        shares: dict[int, Share] = {}
        while heap:
            due, number, job = heap[0]
            if job.gone:
                heapq.heappop(heap)
                continue
            tokens = job.tokens[job.taken]
            if shares and used + tokens > budget:
                break
            shares.setdefault(number, Share(job, job.taken, job.taken)).stop += 1
            used, self.rows, self.tokens, job.taken = used + tokens, self.rows - 1, self.tokens - tokens, job.taken + 1
            if job.taken == len(job.rows):
                heapq.heappop(heap)
                self.jobs -= 1
            else:
                job.due = due + job.tokens[job.taken]
                heapq.heapreplace(heap, (job.due, number, job))
        # Each of the jobs that shared the model has come this much further.
        self._time = self._time + used / sharing if self.rows else 0.0
        return list(shares.values())

    def _cleaned(self, key: Hashable) -> list[tuple[float, int, Job]]:
        """The heap of a key without dropped jobs at its head; an empty one is forgotten."""
        heap = self._heaps[key]
        while heap and heap[0][2].gone:
            heapq.heappop(heap)
        if not heap:
            del self._heaps[key]
        return heap


class Rate:
    """Tokens a second, as the last batches showed it.

    Args:
        remembered: How many batches count.
    """

    def __init__(self, remembered: int = 32) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=remembered)

    def saw(self, tokens: int, seconds: float) -> None:
        """Count a batch."""
        self._seen.append((tokens, seconds))

    def seconds(self, tokens: int) -> float:
        """How long so many tokens will take; 0 while nothing was seen."""
        done, taken = (sum(column) for column in zip(*self._seen, strict=True)) if self._seen else (0, 0.0)
        return tokens * taken / done if done else 0.0
