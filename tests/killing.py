"""Run commands in processes that can be killed: forked from one that has imported everything, so each starts at once.

No pictures are drawn: they would take most of a toy run's time, and nothing is read from them.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonargparse  # noqa: F401  imported here once, for every fork, as the next lines are
import pytest
import transformers.models.bert.modeling_bert
import transformers.models.llama.modeling_llama  # noqa: F401

import flipkd.distill.run
import flipkd.distill.write
import flipkd.teacher.trainer
from flipkd.cli.main import main

WATCHED = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
"""What a process tells its audit hook of files."""


def command(folder, words, stop_at, disk):
    """One process: a command in `folder`, which ends itself by SIGKILL just before its `stop_at`-th change of a file.

    Its output goes to `said`, and how many changes there were to `changes`.
    """
    import resource

    import torch

    torch.set_num_threads(1)
    flipkd.distill.write._draw = lambda *_: None
    # The Trainer collects garbage after each stage, which is slow where all these modules must be looked through.
    gc.freeze()
    os.chdir(folder)
    # Through a process of its own, which the limit on files does not bind.
    log = subprocess.Popen("cat > said", shell=True, stdin=subprocess.PIPE)
    os.dup2(log.stdin.fileno(), 1)
    os.dup2(log.stdin.fileno(), 2)
    log.stdin.close()
    changes, here = 0, os.getcwd()

    def watch(event, arguments):
        nonlocal changes
        if event not in WATCHED or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(here):
            return
        changes += 1
        if changes == stop_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    if disk is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
    status = main(words)
    if disk is None:
        Path("changes").write_text(str(changes))
    sys.stdout.flush()
    os.close(1)
    os.close(2)
    log.wait()
    os._exit(status)


class Runner:
    """Starts commands and kills them.

    Args:
        folder: Where they run, so that their paths are the same each time.
    """

    def __init__(self, folder):
        self.folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["killing"])

    def run(self, words, *, after=None, stop_at=None, disk=None, watch=lambda: None):
        """Run a command to its end, or kill it.

        Args:
            words: Of the command line.
            after: Seconds until SIGKILL.
            stop_at: The change of a file before which it is killed.
            disk: The most bytes a file may have.
            watch: Called all the while.

        Returns:
            The exit status, -9 if it was killed, and the seconds it took.
        """
        process = self._context.Process(target=command, args=(str(self.folder), words, stop_at, disk))
        started = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            # The server that forks is begun with the first process, and given no sys.path.
            patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
            process.start()
        while process.exitcode is None:
            watch()
            if after is not None and time.monotonic() - started > after:
                process.kill()
                break
            process.join(0.003)
        process.join()
        watch()
        return process.exitcode, time.monotonic() - started

    @property
    def said(self):
        return (self.folder / "said").read_text()

    @property
    def changes(self):
        return int((self.folder / "changes").read_text())
