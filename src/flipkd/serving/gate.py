"""Who is let in, and how much they may send: checked before anything of the body is understood."""

import asyncio
import hashlib
import hmac
import stat
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flipkd.console import warn
from flipkd.errors import FlipkdError
from flipkd.serving.errors import Refused

OPEN = frozenset({"/health", "/ready", "/docs", "/openapi.json"})
"""Paths that need no key, as they tell nothing of texts or artefacts; the files of /docs likewise."""
STATIC = "/static-offline-docs"


class Keys:
    """The keys that are let in, as hashes.

    Args:
        keys: As clients send them.
    """

    def __init__(self, keys: list[str]) -> None:
        self._hashes = [hashlib.sha256(key.encode()).digest() for key in keys]

    def know(self, key: bytes) -> bool:
        """Whether a key is one of them, in a time that tells nothing of them."""
        sent = hashlib.sha256(key).digest()
        # A sum, since `any` would end with the key that fits.
        return sum(hmac.compare_digest(sent, known) for known in self._hashes) > 0


def read_keys(file: str) -> Keys:
    """The keys in a file, one a line; blank lines and those that begin with # are not keys.

    Raises:
        FlipkdError: If it cannot be read, has no key, or one of fewer than 16 characters or with a blank.
    """
    try:
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
        mode = Path(file).stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise FlipkdError(f"--api-key-file {file} cannot be read: {error}") from error
    keys = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not keys:
        raise FlipkdError(f"{file} has no key: put one a line.")
    for number, key in keys:
        if len(key) < 16 or any(letter.isspace() for letter in key):
            raise FlipkdError(
                f"{file}, line {number}: a key has at least 16 characters and no blank. Make one with: "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"{file} can be read by others on this machine; run: chmod 600 {file}")
    return Keys([key for _, key in keys])


class Gate:
    """Lets requests in, and bounds their bodies.

    Args:
        app: What is inside.
        keys: The keys; `None` asks for none.
        names: What the Host header may say, so that no page of another site can reach a server without a key through
            a name of its own (DNS rebinding); None takes any.
        max_body: Bytes of a body.
        body_seconds: How long it may take to come.
        state: Of the server.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys | None,
        names: frozenset[bytes] | None,
        max_body: int,
        body_seconds: float,
        state: "GateState",
    ) -> None:
        self.app = app
        self._keys = keys
        self._names = names
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refused as refused:
            await refused.response()(scope, receive, send)
            return
        if scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        self._state.inside += 1
        try:
            first = await self._body(scope, receive)
            if first["type"] == "http.disconnect":
                return  # nobody is there to be answered
            await self.app(scope, _replay(first, receive), send)
        except Refused as refused:
            await refused.response()(scope, receive, send)
        finally:
            self._state.inside -= 1

    def _check(self, scope: Scope) -> None:
        """Host, key, and whether the server is being stopped."""
        headers = dict(scope["headers"])
        if self._names is not None and _host_name(headers.get(b"host", b"")) not in self._names:
            raise Refused(
                421,
                "Without a key this server answers to localhost, 127.0.0.1 and its --host alone, so that no page of "
                "another site can reach it. Start it with --api-key-file, or with --allow-anonymous.",
                code="unknown_host",
            )
        path = scope["path"]
        if path in OPEN or path.startswith(STATIC):
            return
        if self._keys is not None:
            kind, _, key = headers.get(b"authorization", b"").partition(b" ")
            if kind.lower() != b"bearer" or not self._keys.know(key.strip()):
                raise Refused(
                    401,
                    "The key is missing or wrong: send Authorization: Bearer KEY.",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if self._state.draining and path != "/metrics":
            raise Refused(
                503,
                "The server is being stopped; ask another.",
                code="draining",
                headers={"Connection": "close", "Retry-After": "5"},
            )

    async def _body(self, scope: Scope, receive: Receive) -> Message:
        """The whole body as one message."""
        too_large = Refused(
            413, f"The body has more than {self._max_body} bytes: send fewer texts at once.", code="body_too_large"
        )
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if len(length) > 18 or int(length) > self._max_body:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return message
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._max_body:
                        raise too_large
                    if not message.get("more_body", False):
                        return {"type": "http.request", "body": b"".join(parts), "more_body": False}
        except TimeoutError:
            raise Refused(
                408, f"The body did not come within {self._body_seconds:g} s.", headers={"Connection": "close"}
            ) from None


class GateState:
    """What the gate and the one who stops the server know of each other.

    Attributes:
        inside: Requests that were let in and are not answered yet.
        draining: Whether no more are let in.
    """

    def __init__(self) -> None:
        self.inside = 0
        self.draining = False


def _host_name(host: bytes) -> bytes:
    """A Host header without its port."""
    return host.lower() if host.endswith(b"]") else host.lower().rpartition(b":")[0] or host.lower()


def _replay(first: Message, receive: Receive) -> Receive:
    """Gives the body that was read, then what comes."""
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
