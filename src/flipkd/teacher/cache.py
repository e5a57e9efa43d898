"""Arrays kept on disk by the content they were computed from (docs/method.md section 4).

An entry is a folder named by its key: `values.npy`, mapped into memory when read, and `key.json`, what the
key was made of, in clear. Times, paths and names of files have no part in a key.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce, warn

CODE_VERSION = 1
"""Raise it when the same teacher and texts would give other numbers."""

Content = Literal["vectors", "similarities"]


def default_dir() -> Path:
    """Where entries are kept unless the user says otherwise."""
    return Path.home() / ".cache" / "flipkd"


def content_key(content: Content, revision: str, texts: Sequence[str]) -> str:
    """The key of an entry, SHA-256 in hexadecimal.

    Args:
        content: What is computed of the texts.
        revision: The teacher's fingerprint.
        texts: The texts in order; of pairs, a and b in turn.
    """
    encoded = [text.encode() for text in texts]
    state = hashlib.sha256(json.dumps([content, revision, CODE_VERSION]).encode())
    # The lengths come first, or ("ab", "c") and ("a", "bc") would be one.
    state.update(np.asarray(list(map(len, encoded)), dtype="<i8").tobytes())
    state.update(b"".join(encoded))
    return state.hexdigest()


def cached(
    folder: Path,
    content: Content,
    *,
    teacher: str,
    revision: str,
    texts: Sequence[str],
    rows: int,
    compute: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The array of a key, read if it is there and whole, else computed and written.

    Args:
        folder: The cache's folder.
        content: What is computed of the texts.
        teacher: The teacher's name, for `key.json`; the key holds its revision instead.
        revision: The teacher's fingerprint.
        texts: What the array is computed from; see `content_key`.
        rows: The first dimension the array must have.
        compute: Gives the array, float32.

    Returns:
        The array, read-only and mapped from disk where it was read.
    """
    key = content_key(content, revision, texts)
    entry = folder / "teacher" / key
    what = f"teacher {content}"
    if entry.is_dir():
        found = _read(entry, rows)
        if found is not None:
            announce(what, "read", f"{rows} of them were kept at {entry}")
            return found
        warn(f"The cache entry {entry} is damaged; it is computed again.")
    announce(what, "computed", f"{rows} of them, not kept before for these texts and this teacher")
    values = compute()
    made_of = {
        "content": content,
        "teacher": teacher,
        "revision": revision,
        "code_version": CODE_VERSION,
        "count": rows,
        "shape": list(values.shape),
        "dtype": str(values.dtype),
    }
    try:
        _write(entry, values, made_of)
    except OSError as error:
        warn(f"The {what} could not be kept at {entry} and will be computed again next time: {error}")
    return values


def _read(entry: Path, rows: int) -> NDArray[np.float32] | None:
    """The array of an entry, or None if the entry is damaged."""
    try:
        key = json.loads((entry / "key.json").read_text(encoding="utf-8"))
        values: NDArray[np.float32] = np.load(entry / "values.npy", mmap_mode="r", allow_pickle=False)
        whole = list(values.shape) == key["shape"] and len(values) == rows and values.dtype == np.float32
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    return values if whole else None


def _write(entry: Path, values: NDArray[np.float32], key: dict[str, Any]) -> None:
    """Write an entry under a temporary name and rename it when whole."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    # The name is gone after the rename, hence ignore_cleanup_errors.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=entry.parent, ignore_cleanup_errors=True) as name:
        partial = Path(name)
        np.save(partial / "values.npy", values, allow_pickle=False)
        (partial / "key.json").write_text(json.dumps(key, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        try:
            partial.rename(entry)
        except OSError:
            if not entry.is_dir():  # else another process wrote the same entry meanwhile
                raise
