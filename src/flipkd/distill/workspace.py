"""The folder of unfinished work beside an output: what is done is kept, so that a run resumes."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce
from flipkd.distill.config import DistillConfig
from flipkd.errors import FlipkdError
from flipkd.files import hold, remove, removed_name, written_whole
from flipkd.matching.artefact import SPEC_FILE

_FILES = {"train", "validation", "test", "unlabelled", "delimiter"}
"""Settings whose effect shows in the data's digests."""
_NOT_WORK = {"output", "overwrite", "report_to", "logging_steps", "cache_dir", "threshold_policy", *_FILES}
"""Settings that leave the results of the work as they are; the output's name is the folder's."""
_BEGUN = {"run.json", "student_fingerprint.json", "seconds.json"}
"""What lies in a folder in which nothing is finished yet."""

_BEAT = 5.0
"""Seconds between two records of the time."""


class Workspace:
    """OUTPUT.work: one entry a finished piece of work, written whole or not at all.

    Args:
        config: The run's settings; unfinished work of other settings is refused.
        digests: The content of each split, so that edited data are noticed.
        clock: What `timing` reads, in seconds.

    Raises:
        FlipkdError: If the output is already there, or is no artefact that could be replaced, if the work belongs to
            other settings or data, or if another process is at it.
    """

    def __init__(
        self, config: DistillConfig, digests: dict[str, str], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self.output = Path(config.output)
        if self.output.name in ("", ".."):
            raise FlipkdError(f"--output {config.output} names no folder of its own. Add a name, such as runs/x.")
        self.folder = self.output.with_name(self.output.name + ".work")
        self._replaced = self.folder / "replaced"
        if self.folder.exists():
            hold(self.folder)
        shutil.rmtree(removed_name(self.folder), ignore_errors=True)  # of a stop while it was removed
        if self._replaced.exists() and not self.output.exists():  # of a stop between the two renames of `publish`
            self._replaced.rename(self.output)
        if self.output.exists():
            self._require_replaceable(config.overwrite)
        settings = {key: value for key, value in asdict(config).items() if key not in _NOT_WORK}
        self._begin({"settings": json.loads(json.dumps(settings)), "data": digests}, config.overwrite)

    def _begin(self, key: dict[str, Any], overwrite: bool) -> None:
        """Go on with the work that is there, or start anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        hold(self.folder)
        inside = {file.name for file in self.folder.iterdir() if not file.name.startswith(".")}
        if inside <= _BEGUN:
            for name in inside:
                (self.folder / name).unlink()
        elif "run.json" not in inside:
            raise FlipkdError(
                f"{self.folder}, where unfinished work would be kept, holds something else. Choose another --output."
            )
        else:
            before = json.loads((self.folder / "run.json").read_text())
            # Earlier versions noted some that are no part of the work.
            before["settings"] = {name: value for name, value in before["settings"].items() if name not in _NOT_WORK}
            if before == key:
                announce("run", f"resumes {self.folder}", "it holds unfinished work of these settings and data")
                return
            others = _differing(before, key)
            if not overwrite:
                raise FlipkdError(
                    f"{self.folder} holds unfinished work of other settings or data ({others}). Run with those to "
                    "finish it, or --overwrite to start anew."
                )
            announce("unfinished work", "dropped", f"--overwrite, and it is of other settings or data ({others})")
            remove(self.folder)
            self.folder.mkdir()
            hold(self.folder)
        self.record("run", key)

    def _require_replaceable(self, overwrite: bool) -> None:
        if not overwrite:
            raise FlipkdError(f"{self.output} is already there. Choose another --output, or --overwrite it.")
        empty = self.output.is_dir() and not any(self.output.iterdir())
        if not empty and not (self.output / SPEC_FILE).is_file():
            raise FlipkdError(
                f"{self.output} is no artefact (it has no {SPEC_FILE}), so --overwrite does not replace it. Choose "
                "another --output."
            )

    def once(self, name: str, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays that are computed once: read back where they are there, else computed and kept.

        Args:
            name: Of the piece of work.
            work: Computes it.
        """
        file = self.folder / f"{name}.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        with self.timing(name):
            found = work()
        with written_whole(file) as partial, partial.open("wb") as handle:
            np.savez(handle, **found)  # type: ignore[arg-type]
        return found

    def record(self, name: str, value: Any) -> None:
        """Keep something as JSON, whole or not at all."""
        with written_whole(self.folder / f"{name}.json") as partial:
            partial.write_text(json.dumps(value, indent=2))

    def require_same(self, what: str, fingerprint: str) -> None:
        """Refuse to go on with another model than the work was begun with, under the same name or folder.

        Args:
            what: The model's part, such as ``student``.
            fingerprint: Of its content.

        Raises:
            FlipkdError: If it is another one now.
        """
        name = f"{what}_fingerprint"
        before = self.recorded(name)
        if before is None:
            self.record(name, fingerprint)
        elif before != fingerprint:
            raise FlipkdError(
                f"The {what} is another one than when the work in {self.folder} was begun. Put it back, or delete that "
                "folder to start anew."
            )

    def recorded(self, name: str) -> Any | None:
        """What `record` kept, or `None`."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.is_file() else None

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of the block to the piece of work `name`, over interruptions too.

        It is also kept every few seconds meanwhile, so that a killed run loses no more than that.
        """
        seconds = self.seconds()
        before, started, over = seconds.get(name, 0.0), self._clock(), threading.Event()

        def keep() -> None:
            seconds[name] = before + self._clock() - started
            self.record("seconds", seconds)

        def beat() -> None:
            while not over.wait(_BEAT):
                keep()

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            keep()

    def seconds(self) -> dict[str, float]:
        """Seconds by piece of work."""
        return self.recorded("seconds") or {}

    def publish(self, write: Callable[[Path], None]) -> None:
        """Write the artefact into a folder of the work, and rename it when it is whole.

        The work goes once the artefact is there; if `write` fails, nothing is published and the work stays. An artefact
        that is replaced is moved away first, so that neither is ever seen in part.

        Args:
            write: Writes and checks the artefact in the folder it is given.
        """
        partial = self.folder / "artefact"
        shutil.rmtree(partial, ignore_errors=True)  # of a stop while it was written
        partial.mkdir()
        try:
            write(partial)
            if self.output.exists():
                shutil.rmtree(self._replaced, ignore_errors=True)
                self.output.rename(self._replaced)
            partial.rename(self.output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        remove(self.folder)


def _differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What two keys of work differ in: settings with both values, data by the split's name."""

    def changed(part: str) -> list[tuple[str, Any, Any]]:
        then, here = before[part], now[part]
        both = [
            (name, then.get(name, "absent"), here.get(name, "absent")) for name in sorted(then.keys() | here.keys())
        ]
        return [(name, one, other) for name, one, other in both if one != other]

    settings = [f"{name} is {one!r} there and {other!r} now" for name, one, other in changed("settings")]
    data = [f"other {'further texts' if name == 'unlabelled' else f'{name} pairs'}" for name, *_ in changed("data")]
    return ", ".join(settings + data)
