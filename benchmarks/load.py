"""Load on a server of ours: `flipkd serve` in a process of its own, and clients that keep their connection."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen


@dataclass(frozen=True)
class Load:
    """What some clients got.

    Attributes:
        seconds: From each request's first byte out to its last byte in.
        wall: From the first request to the last answer.
        statuses: How often each HTTP status came.
    """

    seconds: list[float]
    wall: float
    statuses: dict[int, int]


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[int]:
    """`flipkd serve` on a free port of loopback, which is what is given.

    Args:
        folder: The artefact.
        words: Further options.

    Raises:
        RuntimeError: If it ends before it listens.
    """
    command = [sys.executable, "-m", "flipkd.cli.main", "serve", "--model", str(folder), "--port", "0", *words]
    with TemporaryDirectory() as place, (Path(place) / "stderr").open("w+") as said:
        process = subprocess.Popen([*command, "--access-log", "false"], stderr=said)
        try:
            while not (found := re.search(r"serving: http://[\d.]+:(\d+)", Path(said.name).read_text())):
                if process.poll() is not None:
                    raise RuntimeError(Path(said.name).read_text())
                time.sleep(0.1)
            yield int(found[1])
        finally:
            process.terminate()
            process.wait()


def metric(port: int, name: str) -> float:
    """A number of the server's /metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def drive(port: int, path: str, bodies: Sequence[dict[str, Any]], connections: int) -> Load:
    """Send requests over so many connections, each with one request at a time, until all are answered."""
    return asyncio.run(_drive(port, path, bodies, connections))


async def _drive(port: int, path: str, bodies: Sequence[dict[str, Any]], connections: int) -> Load:
    waiting = iter(bodies)
    seconds: list[float] = []
    statuses: dict[int, int] = {}

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            start = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            assert length is not None, answer
            await reader.readexactly(int(length[1]))
            seconds.append(time.perf_counter() - start)
            status = int(answer.split(b" ", 2)[1])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()
        await writer.wait_closed()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    return Load(seconds, time.perf_counter() - begun, statuses)
