"""The frozen trunk: what the layers below the first adapter make of a token sequence, kept on disk.

With LoRA in the top layers only, everything below is constant, so its output is computed once per
sequence and read back in every later epoch, evaluation and method (docs/method.md section 7).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.student.padding import positions


def model_fingerprint(model: nn.Module) -> str:
    """A hash of a base model's parameters: names, shapes, and 64 values of each. An adapter does not count."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if ".lora_" not in name:
            flat = parameter.detach().flatten()
            digest.update(f"{name.replace('.base_layer', '')}{tuple(parameter.shape)}".encode())
            digest.update(flat[:: max(1, len(flat) // 64)].float().cpu().numpy().tobytes())
    return digest.hexdigest()


class TrunkCache:
    """Hidden states by token ids: a memory-mapped file of rows and an append-only index beside it.

    A sequence is known by a hash of its ids. When the file is full, further sequences are simply not kept and
    their trunk is computed again each time. A crash loses nothing that was indexed: a row's data is written
    before its index entry.

    Args:
        folder: Where the files live; made if need be.
        fingerprint: Of the model and of how many layers were run.
        width: The hidden size.
        limit_bytes: The most the rows may take.

    Raises:
        FlipkdError: If the folder holds another model's states.
    """

    _ENTRY = np.dtype([("key", "S32"), ("row", "<i8"), ("length", "<i8")])

    def __init__(self, folder: Path, *, fingerprint: str, width: int, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        header = {"fingerprint": fingerprint, "width": width, "dtype": "float32"}
        header_file = folder / "trunk.json"
        if header_file.exists():
            if json.loads(header_file.read_text()) != header:
                raise FlipkdError(f"{folder} holds the hidden states of another model; delete it to go on.")
        else:
            header_file.write_text(json.dumps(header))
        self._rows = np.memmap(
            folder / "rows.f32", np.float32, mode="r+" if (folder / "rows.f32").exists() else "w+",
            shape=(max(1, limit_bytes // (4 * width)), width),
        )  # fmt: skip
        self.width = width
        self._index_file = folder / "index.bin"
        stored = self._index_file.read_bytes() if self._index_file.exists() else b""
        entries = np.frombuffer(stored[: len(stored) - len(stored) % self._ENTRY.itemsize], self._ENTRY)
        self._where = {bytes(e["key"]).ljust(32, b"\0"): (int(e["row"]), int(e["length"])) for e in entries}
        self._used = max((row + length for row, length in self._where.values()), default=0)
        # A torn last entry is cut off, so that later ones stay aligned.
        self._index_file.write_bytes(entries.tobytes())
        self._full = False

    @staticmethod
    def _key(ids: np.ndarray) -> bytes:
        return hashlib.sha256(ids.astype("<i8").tobytes()).digest()

    def get(self, ids: np.ndarray) -> np.ndarray | None:
        """The (length, width) float32 states of a sequence, or `None` if it is not kept."""
        found = self._where.get(self._key(ids))
        return None if found is None else self._rows[found[0] : found[0] + found[1]]

    def put(self, ids: np.ndarray, states: np.ndarray) -> None:
        """Keep the (length, width) states of a sequence, if there is room."""
        key, length = self._key(ids), len(states)
        if key in self._where:
            return
        if self._used + length > len(self._rows):
            if not self._full:
                announce("trunk cache", "full", "further sequences are computed anew; raise --trunk-cache-gb")
                self._full = True
            return
        self._rows[self._used : self._used + length] = states
        with self._index_file.open("ab") as index:
            index.write(np.array([(key, self._used, length)], self._ENTRY).tobytes())
        self._where[key] = (self._used, length)
        self._used += length


class Trunk:
    """Runs the frozen layers over padded rows, through a cache where there is one.

    Args:
        view: The decoder's stretch below the first adapter.
        cache: Where its outputs are kept; `None` computes them each time.
    """

    def __init__(self, view: nn.Module, cache: TrunkCache | None) -> None:
        self.view = view
        self.cache = cache

    @torch.no_grad()
    def _compute(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self.view(
            input_ids=ids, attention_mask=mask, position_ids=positions(mask), use_cache=False
        ).last_hidden_state
        return hidden

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states at the trunk's top.

        Args:
            ids: (rows, positions) int64 token ids, padded on either side.
            mask: (rows, positions) int64, 1 at real tokens.

        Returns:
            (rows, positions, width) in the model's dtype; padding positions hold zeros or anything.
        """
        if self.cache is None:
            return self._compute(ids, mask)
        real = mask.bool().cpu().numpy()
        rows = [row[keep] for row, keep in zip(ids.cpu().numpy(), real, strict=True)]
        states = {i: kept for i, row in enumerate(rows) if (kept := self.cache.get(row)) is not None}
        missing = [i for i in range(len(rows)) if i not in states]
        if missing:
            longest = max(len(rows[i]) for i in missing)
            fresh_ids = torch.zeros(len(missing), longest, dtype=ids.dtype)
            fresh_mask = torch.zeros(len(missing), longest, dtype=mask.dtype)
            for slot, i in enumerate(missing):
                fresh_ids[slot, : len(rows[i])] = torch.from_numpy(rows[i])
                fresh_mask[slot, : len(rows[i])] = 1
            fresh = self._compute(fresh_ids.to(ids.device), fresh_mask.to(mask.device)).float().cpu().numpy()
            for slot, i in enumerate(missing):
                states[i] = fresh[slot, : len(rows[i])]
                self.cache.put(rows[i], states[i])
        hidden = np.zeros((*ids.shape, self.cache.width), np.float32)
        for i, state in states.items():
            hidden[i, real[i]] = state
        parameter = next(self.view.parameters())
        return torch.from_numpy(hidden).to(device=parameter.device, dtype=parameter.dtype)
