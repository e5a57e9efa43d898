"""Files that appear whole or not at all, and the disk's faults in one line."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from filelock import FileLock

MENDS = {
    errno.ENOSPC: "Free some room and run the same command again.",
    errno.EDQUOT: "Your quota is used up: free some room and run the same command again.",
    errno.EFBIG: "The system limits the size of a file here: raise it (ulimit -f), or write elsewhere.",
    errno.EROFS: "That place is read-only: write elsewhere.",
    errno.EACCES: "Change its permissions, or choose another place.",
    errno.EPERM: "Change its permissions, or choose another place.",
    errno.ENOTDIR: "A part of that path is a file: choose another place.",
    errno.EISDIR: "That is a folder: name a file.",
    errno.ENOENT: "Check the path.",
}
"""What a user can do about each of the disk's faults."""


STREAMS = (Path("/dev"), Path("/dev/fd"))
"""Where a name such as /dev/stdout leads to a file if the shell sends it to one, which the shell has open."""


@contextmanager
def written_whole(file: Path, *, through_links: bool = True) -> Iterator[Path]:
    """Give a file beside `file` to write, which becomes `file` when the block ends; if it fails, nothing is left.

    What is no file, or one of `STREAMS`, cannot be replaced and is written straight to. Of a link, what it leads to is
    replaced.

    Args:
        file: Replaced, if it is there; its folder is made if need be.
        through_links: If not, a link is itself replaced, and what it leads to is left alone: for a place that somebody
            else's artefact names.

    Raises:
        FlipkdError: If it is a folder.
    """
    require_no_folder(file)
    replaced = file.is_symlink() and not through_links
    if not replaced and file.exists() and (not file.is_file() or file.absolute().parent in STREAMS):
        yield file
        return
    if file.is_symlink() and through_links:
        file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(file)
    partial.unlink(missing_ok=True)  # A link of that name in a stranger's folder would be followed.
    try:
        yield partial
        partial.replace(file)
    except OSError as error:
        # A failing write, unlike a failing open, does not say of which file. Without a number its words would be lost.
        if error.errno:
            error.filename = error.filename or str(file)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(file: Path, text: str, *, through_links: bool = True) -> None:
    """Write a text file, whole or not at all; arguments as for `written_whole`."""
    with written_whole(file, through_links=through_links) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def partial_of(file: Path) -> Path:
    """Where `written_whole` writes: each process for itself, so that two with one output leave each other's alone."""
    return file.with_name(f".{file.name}.{os.getpid()}.partial")


def require_no_folder(*files: str | Path | None) -> None:
    """Refuse folders where files are to be written, before anything is computed; None is nothing to write.

    Raises:
        FlipkdError: If one is a folder.
    """
    for file in files:
        if file is not None and Path(file).is_dir():
            raise FlipkdError(f"{file} is a folder: name a file to write.")


def require_apart(output: str | Path | None, *others: str | Path | None, why: str = "is read") -> None:
    """Refuse to write over another file of the command's; what is no file, such as /dev/null, takes all.

    Args:
        output: The file to write; None is nothing to write.
        others: Files, or names that are none.
        why: What is done with the others.

    Raises:
        FlipkdError: If it is one of them.
    """
    if output is None or (Path(output).exists() and not Path(output).is_file()):
        return
    # Not Path.resolve, to which a loop of links is an error.
    if os.path.realpath(output) in [os.path.realpath(other) for other in others if other is not None]:
        raise FlipkdError(f"{output} is the file that {why}. Name a new one.")


_HELD: dict[Path, "FileLock"] = {}
"""The folders that this process works in."""


def hold(folder: Path) -> None:
    """Keep other processes out of a folder until this one ends or removes it: two would overwrite each other's work.

    Args:
        folder: Is there. Held once more by the process that holds it, nothing changes, unless somebody has deleted it.

    Raises:
        FlipkdError: If another process is in it.
    """
    from filelock import FileLock, Timeout  # Here, since it takes longer than all of a short command's start.

    place = folder.resolve()
    held = _HELD.pop(place, None)
    if held is not None and (place / ".lock").exists():
        _HELD[place] = held
        return
    lock = FileLock(place / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FlipkdError(
            f"Another process is at work in {folder}. Wait for its end or stop it, or let this one write elsewhere."
        ) from None
    _HELD[place] = lock


def remove(folder: Path) -> None:
    """Remove a folder; a stop midway leaves nothing of it under its name."""
    for place in [place for place in _HELD if place.is_relative_to(folder.resolve())]:
        _HELD.pop(place).release()
    gone = removed_name(folder)
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


def removed_name(folder: Path) -> Path:
    """Where `remove` puts a folder first."""
    return folder.with_name(f"{folder.name}.removed")


def disk_fault(error: BaseException, place: str = "") -> str | None:
    """An error of the disk as one line with its mend; `None` for any other error.

    Not all of them are an `OSError`: libraries in Rust and C++ wrap the system's error in one of their own.

    Args:
        error: What was raised.
        place: Where was written, said where the error names no file.
    """
    said = str(error).partition("\n")[0]
    where = f"Writing {place} or beside it: " if place else ""
    code = re.search(r"\(os error (\d+)\)", said)
    if isinstance(error, OSError):
        mend = MENDS.get(error.errno or 0, "")
        return f"{'' if error.filename else where}{said}. {mend}".strip()
    if code:
        return f"{where}{said}. {MENDS.get(int(code[1]), '')}".strip()
    if isinstance(error, RuntimeError) and ("PytorchStreamWriter" in said or "inline_container" in said):
        return f"{where}torch could not write a checkpoint ({said}). {MENDS[errno.ENOSPC]}"
    return None
