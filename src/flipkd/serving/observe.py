"""Around each request: its id, its line in the log, its place in the metrics, and an answer if something breaks.

Nothing of what was sent is logged: neither texts nor paths that no route has, nor the words of an exception.
"""

import logging
import re
import time
import traceback
from collections.abc import Callable
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flipkd.serving.errors import Refused

log = logging.getLogger("flipkd.serving")

_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Observe:
    """The outermost layer of the application.

    Args:
        app: What is inside.
        count: Told of the route, status and seconds of each request.
        routes: The paths that may be named in log and metrics.
        access_log: Whether each request gets a line.
    """

    def __init__(
        self, app: ASGIApp, *, count: Callable[[str, int, float], None], routes: frozenset[str], access_log: bool
    ) -> None:
        self.app = app
        self._count = count
        self._routes = routes
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 499
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            # Frames without their values, and not what the exception says: it could hold a text.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("id=%s fault=%s\n%s", request_id, type(error).__name__, frames)
            if status == 499:
                broken = Refused(500, f"A fault of the server; its log names it under the id {request_id}.")
                await broken.response()(scope, receive, sending)
        finally:
            route, seconds = self._route(scope), time.monotonic() - start
            self._count(route, status, seconds)
            if self._access_log:
                log.info(
                    "id=%s method=%s route=%s status=%d ms=%.1f",
                    *(request_id, _METHODS.get(scope["method"], "other"), route, status, seconds * 1000),
                )

    def _route(self, scope: Scope) -> str:
        path = getattr(scope.get("route"), "path", scope["path"])
        return path if path in self._routes else "other"


_METHODS = {name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


def _request_id(scope: Scope) -> str:
    """The client's own id where it is plain, else a new one."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
    return given if _ID.fullmatch(given) else uuid4().hex
