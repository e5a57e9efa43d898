"""What the routes share: a request's rows checked, counted, queued and answered."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest

from flipkd.errors import FlipkdError
from flipkd.serving.batcher import Batcher, Busy
from flipkd.serving.config import ServeConfig
from flipkd.serving.errors import Refused
from flipkd.serving.models import Counted, Kind, Served, choose
from flipkd.serving.schemas import ArtefactName, Usage
from flipkd.serving.texts import Row, check_limits

T = TypeVar("T")


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

    async def ask(
        self, http: HttpRequest, model: str | None, kind: Kind, rows: Sequence[Row], param: str, *, top: int = 0
    ) -> Answered:
        """Answer rows, or refuse them.

        Args:
            http: The request; if its client hangs up, the rows leave the queue.
            model: The artefact's name.
            kind: What is asked.
            rows: Pairs or single texts.
            param: The field that holds them.
            top: Of a search, how many entries are wanted.

        Raises:
            Refused: If the name is unknown, a limit is passed, a text is empty, or the queue is full.
        """
        served = self.find(model)
        check_limits(rows, max_rows=self._config.max_rows, max_characters=self._config.max_characters, param=param)
        counted: Counted = await asyncio.get_running_loop().run_in_executor(self._counting, served.count, rows)
        if counted.empty is not None:
            message = f"Row {counted.empty} has a text without a token: leave it out."
            raise Refused(400, message, param=param, code="empty_text")
        work: Sequence[Any] = rows
        weights = counted.tokens
        if kind == "search":
            if served.index is None:
                raise Refused(400, f"The index is of another artefact than {served.name}.", param="model")
            # A search reads many entries and no other row can join it: it counts as a batch.
            work, weights = [(*row, top) for row in rows], [self._config.batch_tokens]
        try:
            answers = await while_connected(http, self.batcher.answer((served.name, kind), work, weights))
        except Busy as busy:
            raise Refused(
                429,
                f"The queue is full; come again in {busy.seconds} s.",
                code="queue_full",
                headers={"Retry-After": str(busy.seconds)},
            ) from None
        except FlipkdError as error:
            if kind == "search":
                raise Refused(503, str(error), code="index_unavailable") from None
            raise Refused(400, str(error), param=param) from None
        return Answered(served, answers, sum(counted.tokens), counted.cut, http.state.request_id)

    def close(self) -> None:
        """Let go of the thread."""
        self._counting.shutdown(wait=False, cancel_futures=True)


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
