"""The frozen trunk: what the layers below the first adapter make of a token sequence, kept on disk.

With LoRA in the top layers only, everything below is constant, so its output is computed once per
sequence and read back in every later epoch, evaluation and method (docs/method.md section 7).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.files import disk_fault, hold, written_whole
from flipkd.student.attention import PackedAttention
from flipkd.student.packing import Layout, Packed, Segments, lay_out, to_device
from flipkd.student.view import Stretch

TrunkDtype = Literal["float32", "float16"]

_STEP = 2**26
"""Bytes of disk that are taken at once."""

_NOT_COMPUTING = {"use_cache", "initializer_range", "tokenizer_class"}
"""Fields of a configuration that change no answer."""


def model_fingerprint(model: nn.Module) -> str:
    """A hash of a base model's parameters: names, shapes, and 64 values of each. An adapter does not count.

    The values are rounded to bfloat16, so that one base has one hash whichever dtype a device computes it in.
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if ".lora_" not in name:
            flat = parameter.detach().flatten()
            digest.update(f"{name.replace('.base_layer', '')}{tuple(parameter.shape)}".encode())
            some = flat[:: max(1, len(flat) // 64)].to(torch.bfloat16)
            digest.update(some.view(torch.int16).cpu().numpy().tobytes())
    return digest.hexdigest()


def computing_numbers(model: Any) -> dict[str, str]:
    """What a base model's config.json says of how it computes, such as ``rope_parameters.rope_theta``.

    Left out is what changes no answer (names, tokens, dropout, caching) and what all configurations have.

    Args:
        model: The base model.

    Returns:
        By its name, with dots through mappings, each value as JSON.
    """
    from transformers import PretrainedConfig

    found: dict[str, str] = {}
    of_all = PretrainedConfig().to_dict().keys()

    def take(fields: dict[str, Any], before: str = "") -> None:
        for name, value in fields.items():
            if name in of_all or name in _NOT_COMPUTING or name.startswith("_") or name.endswith("_token_id"):
                continue
            if isinstance(value, dict):
                take(value, f"{before}{name}.")
            elif "drop" not in name:
                found[before + name] = json.dumps(value, default=str)

    take(model.config.get_text_config().to_dict())
    return found


class TrunkCache:
    """Hidden states by token ids: a memory-mapped file of rows and an append-only index beside it.

    A sequence is known by a hash of its ids. When the file is full, further sequences are simply not kept and
    their trunk is computed again each time. A crash loses nothing that was indexed: rows are written before their
    index entries, and the entries of one call of `put` at once, so that a resumed run computes in the batches of an
    uninterrupted one, to the same bits (until the file is full). Disk is taken as it is needed, before rows are
    written: a full disk under a memory map would kill the process.

    Args:
        folder: Where the files live; made if need be.
        fingerprint: Of the model and of how many layers were run.
        width: The hidden size.
        limit_bytes: The most the rows may take.
        dtype: What is kept: `float32` exactly, `float16` in half the room.

    Raises:
        FlipkdError: If the folder holds another model's states, or of another dtype, another process uses it, or the
            disk is full.
    """

    _ENTRY = np.dtype([("key", "S32"), ("row", "<i8"), ("length", "<i8")])

    def __init__(
        self, folder: Path, *, fingerprint: str, width: int, limit_bytes: int, dtype: TrunkDtype = "float32"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        hold(folder)
        header = {"fingerprint": fingerprint, "width": width, "dtype": dtype}
        header_file = folder / "trunk.json"
        if header_file.exists():
            if json.loads(header_file.read_text()) != header:
                raise FlipkdError(
                    f"{folder} holds the hidden states of another model, or in another dtype; delete it to go on."
                )
        else:
            with written_whole(header_file) as partial:
                partial.write_text(json.dumps(header))
        self._file = file = folder / "rows.bin"
        row_bytes = np.dtype(dtype).itemsize * width
        count = max(1, limit_bytes // row_bytes)
        written = file.stat().st_size // row_bytes if file.exists() else 0
        with self._disk():
            self._rows = np.memmap(file, dtype, mode="r+" if file.exists() else "w+", shape=(count, width))
        self.width = width
        self._index_file = folder / "index.bin"
        stored = self._index_file.read_bytes() if self._index_file.exists() else b""
        entries = np.frombuffer(stored[: len(stored) - len(stored) % self._ENTRY.itemsize], self._ENTRY)
        # Rows are not there beyond a limit that is smaller than before, or where the file was cut or deleted.
        entries = entries[entries["row"] + entries["length"] <= min(count, written)]
        self._where = {bytes(e["key"]).ljust(32, b"\0"): (int(e["row"]), int(e["length"])) for e in entries}
        self._used = max((row + length for row, length in self._where.values()), default=0)
        # A torn last entry is cut off, so that later ones stay aligned.
        with written_whole(self._index_file) as partial:
            partial.write_bytes(entries.tobytes())
        self._full = False
        self._taken = self._used
        self._take(min(self._used + 1, count))

    @property
    def exact(self) -> bool:
        """Whether states come back as they were put."""
        return self._rows.dtype == np.float32

    @staticmethod
    def _key(path: np.ndarray, own: int) -> bytes:
        return hashlib.sha256(np.append(path, own).astype("<i8").tobytes()).digest()

    def get(self, path: np.ndarray, own: int) -> np.ndarray | None:
        """The (own, width) states of the last `own` tokens of a path from the beginning; `None` if not kept.

        They are in the cache's dtype.
        """
        found = self._where.get(self._key(path, own))
        return None if found is None else self._rows[found[0] : found[0] + found[1]]

    def put(self, found: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Keep, of each path, the (own, width) float32 states of its last tokens, if there is room.

        Args:
            found: Paths and their states.

        Raises:
            FlipkdError: If a state is too large for the cache's dtype, or the disk is full.
        """
        entries = [entry for path, states in found if (entry := self._write(path, states)) is not None]
        if entries:
            with self._index_file.open("ab") as index:
                index.write(np.array(entries, self._ENTRY).tobytes())

    def _write(self, path: np.ndarray, states: np.ndarray) -> tuple[bytes, int, int] | None:
        """Write the rows of one path, and give its index entry; `None` if it is known or there is no room."""
        length = len(states)
        key = self._key(path, length)
        if key in self._where:
            return None
        if self._used + length > len(self._rows):
            if not self._full:
                announce("trunk cache", "full", "further sequences are computed anew; raise --trunk-cache-gb")
                self._full = True
            return None
        if np.abs(states).max(initial=0.0) > np.finfo(self._rows.dtype).max:
            raise FlipkdError(
                f"The student's hidden states are too large for {self._rows.dtype}; use --trunk-cache-dtype float32."
            )
        self._take(self._used + length)
        self._rows[self._used : self._used + length] = states
        self._where[key] = (self._used, length)
        self._used += length
        return (key, *self._where[key])

    def _take(self, rows: int) -> None:
        """See that the first `rows` have their disk, by writing zeros where none were written yet."""
        row_bytes = self._rows.dtype.itemsize * self.width
        while self._taken < rows:
            step = min(len(self._rows) - self._taken, max(1, _STEP // row_bytes))
            with self._disk(), self._file.open("r+b") as handle:
                handle.seek(self._taken * row_bytes)
                handle.write(bytes(step * row_bytes))
            self._taken += step

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Name the file and the way out where the disk takes no more."""
        try:
            yield
        except OSError as error:
            raise FlipkdError(
                f"{self._file}, the frozen layers' outputs: {disk_fault(error)} A lower --trunk-cache-gb takes less, 0 "
                "none."
            ) from error


class Trunk:
    """Runs the frozen layers over a packed batch, through a cache where there is one.

    Args:
        stretch: The decoder's layers below the first adapter.
    """

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.cache: TrunkCache | None = None

    @torch.no_grad()
    def _compute(self, ids: Tensor, layout: Layout) -> Tensor:
        return self.stretch(ids, layout["position"], PackedAttention(layout))

    def __call__(self, packed: Packed) -> Tensor:
        """(T, width) hidden states at the trunk's top, in the model's dtype."""
        if self.cache is None:
            return self._compute(packed["ids"], packed["layout"])
        ids, parent = packed["ids"].cpu().numpy(), packed["parent"].tolist()
        own = [ids[a:b] for a, b in pairwise(packed["start"].tolist())]
        segments = Segments(own, parent)
        paths = [np.concatenate([own[i] for i in segments.chain(segment)]) for segment in range(len(parent))]
        states = {i: kept for i in range(len(own)) if (kept := self.cache.get(paths[i], len(own[i]))) is not None}
        missing = [i for i in range(len(own)) if i not in states]
        if missing:
            # What a missing segment continues runs along, known or not.
            needed = sorted({ancestor for i in missing for ancestor in segments.chain(i)})
            slot = {-1: -1} | {old: new for new, old in enumerate(needed)}
            begins, layout = lay_out(Segments([own[i] for i in needed], [slot[parent[i]] for i in needed]))
            device = packed["ids"].device
            fresh_ids = torch.from_numpy(np.concatenate([own[i] for i in needed])).to(device)
            fresh = self._compute(fresh_ids, to_device(layout, device)).float().cpu().numpy()
            for i in missing:
                states[i] = fresh[begins[slot[i]] : begins[slot[i] + 1]]
            self.cache.put((paths[i], states[i]) for i in missing)
            # Read back as kept, so that half precision rounds in the first pass as in the later ones.
            states |= {i: kept for i in missing if (kept := self.cache.get(paths[i], len(own[i]))) is not None}
        hidden = torch.from_numpy(np.concatenate([states[i] for i in range(len(own))]))
        parameter = next(self.stretch.view.parameters())
        return hidden.to(device=parameter.device, dtype=parameter.dtype)
