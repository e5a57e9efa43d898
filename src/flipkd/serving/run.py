"""The process: load, listen, and when told to stop finish what is at hand."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.serving.app import make_app
from flipkd.serving.config import ServeConfig
from flipkd.serving.gate import GateState
from flipkd.serving.models import load_served


class Server(uvicorn.Server):
    """Uvicorn, but SIGTERM and Ctrl-C let nobody in any more, wait for those inside, and end with status 0.

    Args:
        app: The application.
        config: Its settings.
        state: Which requests are inside.
    """

    def __init__(self, app: FastAPI, config: ServeConfig, state: GateState) -> None:
        # What is left after the drain gets one second. Of N connections uvicorn lets N - 1 in.
        plain = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="on", limit_concurrency=config.max_connections + 1,
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        super().__init__(plain)
        self._state = state
        self._settings = config
        self._deadline = 0.0
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn calls it so
        """Begin to drain; told a second time, stop at once."""
        self.interrupted |= sig == signal.SIGINT
        if self._state.draining:
            self.should_exit = self.force_exit = True
        self._state.draining = True
        self._deadline = time.monotonic() + self._settings.drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and only then say where: who reads it may ask at once."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port, *_ = sockets[0].getsockname()
            shown = f"[{host}]" if ":" in host else host
            announce("serving", f"http://{shown}:{port}", f"its documentation is at /docs; {_who(self._settings)}")

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._state.draining and (not self._state.inside or time.monotonic() > self._deadline):
            self.should_exit = True
        return await super().on_tick(counter)


def serve(config: ServeConfig) -> None:
    """Serve until told to stop. Where a batch or the index is at work beyond the drain, the whole process ends here.

    Raises:
        FlipkdError: If an artefact, a key or the index cannot be used, or the address is taken.
        KeyboardInterrupt: After Ctrl-C, once all is finished.
    """
    state = GateState()
    # Taken before anything is loaded, so that a wrong one is known at once; connections are let in at the end.
    with bound(config.host, config.port) as sock, ExitStack() as closing:
        served = load_served(config)
        for one in served.values():
            if one.index is not None:
                closing.callback(one.index.close)
        # Another that loaded meanwhile may have come first, which uvicorn would tell as a traceback.
        with _told_if_taken(config.host, config.port):
            sock.listen()
        server = Server(make_app(served, config, state), config, state)
        _log_to_stderr()
        try:
            server.run([sock])
        finally:
            _end_if_at_work(server)
    if server.interrupted:
        raise KeyboardInterrupt


def _end_if_at_work(server: Server) -> None:
    """End the process now where a thread is still at work: Python would wait for it, however long it takes."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("flipkd-")]
    for thread in ours:
        thread.join(0.5)  # one that has nothing to do ends at once
    if not any(thread.is_alive() for thread in ours):
        return
    logging.getLogger("flipkd.serving").warning("what was still at work was not waited for")
    logging.shutdown()
    sys.stderr.flush()
    os._exit(130 if server.interrupted else 0)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, which does not listen yet.

    Raises:
        FlipkdError: If the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, since asyncio turns Nagle's algorithm off only where it is: 40 ms a request.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        with _told_if_taken(host, port):
            sock.bind((host, port))
    except FlipkdError:
        sock.close()
        raise
    return sock


@contextmanager
def _told_if_taken(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FlipkdError(
            f"{host}:{port} cannot be listened at ({error.strerror}). Choose another --host or --port."
        ) from error


def _who(config: ServeConfig) -> str:
    """Who may ask, in words."""
    if config.api_key_file:
        return "a key is needed"
    return "nobody needs a key" if config.allow_anonymous else "this machine alone, no key"


def _log_to_stderr() -> None:
    handler: Any = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("flipkd.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
