"""The process: load, listen, and when told to stop finish what is at hand."""

import logging
import signal
import sys
import time
from types import FrameType
from typing import Any

import uvicorn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.serving.app import make_app
from flipkd.serving.config import ServeConfig
from flipkd.serving.gate import GateState
from flipkd.serving.models import load_served


class Server(uvicorn.Server):
    """Uvicorn, but SIGTERM and Ctrl-C let nobody in any more, wait for those inside, and end with status 0.

    Args:
        config: Of uvicorn.
        state: Which requests are inside.
        drain_seconds: How long they are waited for.
    """

    def __init__(self, config: uvicorn.Config, state: GateState, drain_seconds: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._deadline = 0.0
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn calls it so
        """Begin to drain; told a second time, stop at once."""
        self.interrupted |= sig == signal.SIGINT
        if self._state.draining:
            self.should_exit = self.force_exit = True
        self._state.draining = True
        self._deadline = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._state.draining and (not self._state.inside or time.monotonic() > self._deadline):
            self.should_exit = True
        return await super().on_tick(counter)


def serve(config: ServeConfig) -> None:
    """Serve until told to stop.

    Raises:
        FlipkdError: If an artefact, a key or the index cannot be used, or the address is taken.
        KeyboardInterrupt: After Ctrl-C, once all is finished.
    """
    state = GateState()
    app = make_app(load_served(config), config, state)
    _log_to_stderr()
    uvicorn_config = uvicorn.Config(
        app, host=config.host, port=config.port, log_config=None, access_log=False, lifespan="on",
        limit_concurrency=config.max_connections, timeout_graceful_shutdown=1, server_header=False,
    )  # fmt: skip
    try:
        sockets = [uvicorn_config.bind_socket()]
    except SystemExit as error:
        raise FlipkdError(
            f"{config.host}:{config.port} cannot be listened at: it is taken, or not this machine's. Choose another "
            "--port."
        ) from error
    host, port, *_ = sockets[0].getsockname()
    shown = f"[{host}]" if ":" in host else host
    announce("serving", f"http://{shown}:{port}", f"its documentation is at /docs; {_who(config)}")
    server = Server(uvicorn_config, state, config.drain_seconds)
    server.run(sockets)
    if server.interrupted:
        raise KeyboardInterrupt


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
