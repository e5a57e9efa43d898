"""What the routes share: a request's rows checked, counted, queued and answered."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request as HttpRequest

from flipkd.errors import FlipkdError
from flipkd.retrieval.results import verified
from flipkd.serving.batcher import Batcher, Busy
from flipkd.serving.config import ServeConfig
from flipkd.serving.errors import Refused
from flipkd.serving.models import Counted, Kind, Served, choose
from flipkd.serving.schemas import ArtefactName, Usage
from flipkd.serving.texts import Row, check_limits

T = TypeVar("T")

TURN = 50_000
"""Characters that are counted at once: some 50 ms."""
logger = logging.getLogger("flipkd.serving")


@dataclass(frozen=True)
class Answered:
    """A request's answers.

    Attributes:
        served: The artefact.
        answers: One a row.
        tokens: Of all rows.
        cut: How many texts were longer than the artefact reads.
        request_id: Of the request.
    """

    served: Served
    answers: Sequence[Any]
    tokens: int
    cut: int
    request_id: str

    def head(self) -> dict[str, Any]:
        """The fields that all answers share."""
        return {
            "id": self.request_id,
            "model": self.served.name,
            "artefact": ArtefactName(name=self.served.name, hash=self.served.hash),
            "usage": Usage(prompt_tokens=self.tokens, total_tokens=self.tokens, cut_texts=self.cut),
        }


class Service:
    """Artefacts behind a queue.

    Args:
        served: The artefacts by name, the default one first.
        batcher: What answers rows.
        config: The limits.
    """

    def __init__(self, served: dict[str, Served], batcher: Batcher, config: ServeConfig) -> None:
        self.served = served
        self.batcher = batcher
        self._config = config
        # Counting takes a thread of its own, so that a long list does not keep the other connections.
        self._counting = ThreadPoolExecutor(1, "flipkd-tokens")
        self._looking = ThreadPoolExecutor(1, "flipkd-index")
        self._held_rows = self._held_tokens = 0

    def find(self, name: str | None) -> Served:
        """The artefact of a name.

        Raises:
            Refused: If there is none.
        """
        found = choose(self.served, name)
        if found is None:
            raise Refused(
                404,
                f"There is no artefact of this name; there are: {', '.join(self.served)}.",
                param="model",
                code="model_not_found",
            )
        return found

    async def ask(self, http: HttpRequest, model: str | None, kind: Kind, rows: Sequence[Row], param: str) -> Answered:
        """Answer rows, or refuse them.

        Args:
            http: The request; if its client hangs up, the rows leave the queue.
            model: The artefact's name.
            kind: What is asked.
            rows: Pairs or single texts.
            param: The field that holds them.

        Raises:
            Refused: If the name is unknown, a limit is passed, a text is empty, or the queue is full.
        """
        served = self.find(model)
        self._check(rows, param)
        return await self._answered(http, self._ask(http, served, kind, rows, param))

    async def search(self, http: HttpRequest, model: str | None, query: str, top: int) -> Answered:
        """Ask the index: the query is encoded and its candidates are verified in batches, as other rows are.

        Args:
            http: As for `ask`.
            model: Likewise.
            query: The query.
            top: How many entries are wanted.

        Raises:
            Refused: As for `ask`, and if the index is another artefact's or does not answer.
        """
        served = self.find(model)
        self._check([(query,)], "query")
        return await self._answered(http, self._search(http, served, query, top))

    def _check(self, rows: Sequence[Row], param: str) -> None:
        check_limits(rows, max_rows=self._config.max_rows, max_characters=self._config.max_characters, param=param)

    async def _answered(self, http: HttpRequest, work: Coroutine[Any, Any, Answered]) -> Answered:
        try:
            return await while_connected(http, work)
        except Busy as busy:
            raise Refused(
                429,
                f"The queue is full; come again in {busy.seconds} s.",
                code="queue_full",
                headers={"Retry-After": str(busy.seconds)},
            ) from None

    async def _ask(self, http: HttpRequest, served: Served, kind: Kind, rows: Sequence[Row], param: str) -> Answered:
        counted = await self._count(served, rows)
        if counted.empty is not None:
            message = f"Row {counted.empty} has a text without a token: leave it out."
            raise Refused(400, message, param=param, code="empty_text")
        try:
            answers = await self.batcher.answer((served.name, kind), rows, counted.tokens)
        except FlipkdError as error:
            raise Refused(400, str(error), param=param) from None
        return Answered(served, answers, sum(counted.tokens), counted.cut, http.state.request_id)

    async def _search(self, http: HttpRequest, served: Served, query: str, top: int) -> Answered:
        if served.index is None:
            raise Refused(400, f"The index is of another artefact than {served.name}.", param="model")
        encoded = await self._ask(http, served, "encode", [(query,)], "query")
        try:
            # Not in the student's thread: an index that hangs keeps no other request.
            (found,) = await asyncio.get_running_loop().run_in_executor(
                self._looking, served.index.find, [query], np.stack(encoded.answers)
            )
        except FlipkdError as error:
            # What it says names the index's place, which is not the client's to know.
            logger.error("id=%s the index does not answer: %s", http.state.request_id, error)
            raise Refused(503, "The index does not answer; come again.", code="index_unavailable") from None
        said: Sequence[Any] = []
        if found.pairs:
            weights = (await self._count(served, found.pairs)).tokens
            rows = [(*pair, value) for pair, value in zip(found.pairs, found.similarity.tolist(), strict=True)]
            said = await self.batcher.answer((served.name, "verify"), rows, weights)
        return replace(encoded, answers=[verified(found, said, top)])

    async def _count(self, served: Served, rows: Sequence[Row]) -> Counted:
        """The tokens of rows, which have a place in the queue meanwhile. Requests take turns, so that none waits long.

        Raises:
            Busy: If the queue is full.
        """
        queue, cap = self.batcher.queue, served.matcher.student.template.max_text_tokens
        # About a token a Chinese character, and fewer than one for three letters; the queue counts them once they are
        # known, and the prompt's own.
        most = sum(min(len(text.encode()) // 3 + 1, cap) for row in rows for text in row)
        if (queue.rows or self._held_rows) and (
            queue.rows + self._held_rows + len(rows) > queue.max_rows
            or queue.tokens + self._held_tokens + most > queue.max_tokens
        ):
            raise self.batcher.busy()
        self._held_rows, self._held_tokens = self._held_rows + len(rows), self._held_tokens + most
        try:
            of: dict[str, int] = {}
            for some in in_turns(dict.fromkeys(text for row in rows for text in row), TURN):
                lengths = await asyncio.get_running_loop().run_in_executor(self._counting, served.lengths, some)
                of |= zip(some, lengths, strict=True)
            return served.count(rows, of)
        finally:
            self._held_rows, self._held_tokens = self._held_rows - len(rows), self._held_tokens - most

    def close(self) -> None:
        """Let go of the threads."""
        for pool in (self._counting, self._looking):
            pool.shutdown(wait=False, cancel_futures=True)


def in_turns(texts: Iterable[str], most: int) -> Iterator[list[str]]:
    """The texts in lists of few characters, in their order.

    Args:
        texts: Any.
        most: Characters of a list; a text that is longer makes one of its own.
    """
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > most:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


async def while_connected(http: HttpRequest, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled when the client hangs up.

    Raises:
        Refused: With status 499, which nobody reads, if it did.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(499, "The client hung up.", code="gone")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _hung_up(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
