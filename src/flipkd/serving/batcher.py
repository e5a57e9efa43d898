"""From waiting rows to answers: batches in turn, computed in a thread of their own, since a student serves one only.

All that waits is kept on the event loop, so nothing here needs a lock.
"""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flipkd.serving.metrics import Metrics
from flipkd.serving.queue import FairQueue, Job, QueueFull, Rate, Share

Compute = Callable[[Any, list[Any]], Sequence[Any]]
"""Rows of one key in, an answer each out."""


class Busy(Exception):  # noqa: N818 - the caller answers it
    """The queue has no room.

    Args:
        seconds: When there will be, by the measured rate.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"full for {seconds} s")
        self.seconds = seconds


class _Pending(Job):
    """A job and what is known of its answers."""

    def __init__(self, key: Hashable, rows: Sequence[Any], tokens: Sequence[int]) -> None:
        super().__init__(key, rows, tokens, arrived=time.monotonic())
        self.answers: list[Any] = [None] * len(rows)
        self.left = len(rows)
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class Batcher:
    """Answers rows in batches. `run` is the task that does it.

    Args:
        compute: What computes a batch, called in one thread.
        queue: Where rows wait.
        metrics: Told of each batch.
        batch_tokens: Tokens of a batch.
        max_wait: Seconds that an idle server waits for more rows once the first has come.
    """

    def __init__(
        self, compute: Compute, queue: FairQueue, metrics: Metrics, *, batch_tokens: int, max_wait: float
    ) -> None:
        self._compute = compute
        self._metrics = metrics
        self._batch_tokens = batch_tokens
        self._max_wait = max_wait
        self._rate = Rate()
        self._thread = ThreadPoolExecutor(1, "flipkd-student")
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self.queue = queue

    async def answer(self, key: Hashable, rows: Sequence[Any], tokens: Sequence[int]) -> list[Any]:
        """The answers of a request's rows, in their order. Cancelled, it gives its place in the queue back.

        Args:
            key: What computes them.
            rows: At least one.
            tokens: Of each.

        Raises:
            Busy: If the queue is full.
        """
        job = _Pending(key, rows, tokens)
        try:
            self.queue.add(job)
        except QueueFull:
            raise self.busy() from None
        self._some.set()
        if self.queue.tokens >= self._batch_tokens:
            self._enough.set()
        try:
            return await job.done
        finally:
            self.queue.drop(job)

    def busy(self) -> Busy:
        """What to say where there is no room."""
        return Busy(max(1, math.ceil(self._rate.seconds(self.queue.tokens))))

    async def run(self) -> None:
        """Serve batch after batch, until cancelled."""
        try:
            while True:
                if not self.queue.rows:
                    self._some.clear()
                    await self._some.wait()
                    await self._wait_for_more()
                if shares := self.queue.take(self._batch_tokens):
                    await self._serve(shares)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_more(self) -> None:
        self._enough.clear()
        if self.queue.tokens < self._batch_tokens and self._max_wait:
            try:
                async with asyncio.timeout(self._max_wait):
                    await self._enough.wait()
            except TimeoutError:
                return

    async def _serve(self, shares: list[Share]) -> None:
        key, start = shares[0].job.key, time.monotonic()
        for share in shares:
            if share.start == 0:
                self._metrics.queue_seconds.observe(start - share.job.arrived)
        rows, tokens = sum(s.stop - s.start for s in shares), sum(sum(s.job.tokens[s.start : s.stop]) for s in shares)
        try:
            await self._deliver(key, shares)
        except Exception as error:
            # One request's fault is its own: the others of the batch are answered without it.
            for share in shares:
                await self._alone(key, share, error if len(shares) == 1 else None)
        seconds = time.monotonic() - start
        self._rate.saw(tokens, seconds)
        self._metrics.batch(rows, tokens, seconds)

    async def _alone(self, key: Hashable, share: Share, error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            await self._deliver(key, [share])
        except Exception as found:
            self.queue.drop(share.job)
            done = share.job.done  # type: ignore[attr-defined]
            if not done.done():
                done.set_exception(found)

    async def _deliver(self, key: Hashable, shares: list[Share]) -> None:
        rows = [row for share in shares for row in share.job.rows[share.start : share.stop]]
        found = iter(await asyncio.get_running_loop().run_in_executor(self._thread, self._compute, key, rows))
        for share in shares:
            job: Any = share.job
            for place in range(share.start, share.stop):
                job.answers[place] = next(found)
            job.left -= share.stop - share.start
            if not job.left and not job.done.done():
                job.done.set_result(job.answers)
