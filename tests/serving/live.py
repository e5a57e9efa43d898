"""A server that listens on loopback, in a thread of the test's process."""

import threading
import time
from contextlib import contextmanager

from flipkd.serving.app import make_app
from flipkd.serving.config import ServeConfig
from flipkd.serving.gate import GateState
from flipkd.serving.run import Server, bound


@contextmanager
def listening(served, **options):
    """The server, with its `port` and `state`."""
    config = ServeConfig(model="unused", **({"access_log": False} | options))
    state = GateState()
    server = Server(make_app(served, config, state), config, state)
    sock = bound("127.0.0.1", 0)
    server.port, server.state = sock.getsockname()[1], state
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()
