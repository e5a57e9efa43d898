"""Keys and values of texts that begin pair after pair, kept (docs/method.md section 6).

A text a that stays, such as an entry of a FAQ, has one prefix P a whatever b follows. Once its keys and values are
known, a pair costs Q b R alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from flipkd.student.attention import KeysKnown, KeysValues, PackedAttention
from flipkd.student.inference import text_batches
from flipkd.student.model import Student
from flipkd.student.packing import Layout, Segments, lay_out, read_layout, to_device


class _Past(Mapping[int, KeysValues]):
    """Each layer's kept keys and values of some tokens, gathered when the layer asks."""

    def __init__(self, kept: dict[int, KeysValues], tokens: Tensor) -> None:
        self._kept = kept
        self._tokens = tokens

    def __getitem__(self, layer: int) -> KeysValues:
        keys, values = self._kept[layer]
        return keys.index_select(0, self._tokens), values.index_select(0, self._tokens)

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class Prefixes:
    """The kept prefixes P a of some texts.

    Args:
        student: In evaluation mode, as a matcher's is.
        ids: Token ids of n texts.
        limit_bytes: The most that keys and values may take; the texts from the first that no longer fit are left
            out, see `kept`.
        batch_tokens: Tokens of a batch.
    """

    def __init__(
        self, student: Student, ids: Sequence[tuple[int, ...]], *, limit_bytes: int, batch_tokens: int = 1024
    ) -> None:
        self.student = student
        self.batch_tokens = batch_tokens
        prefix = student.template.prefix
        with torch.inference_mode(), student.lock:
            first = self._keys_values([prefix])
            self.bytes_per_token = sum(s.element_size() * s[0].numel() for both in first.values() for s in both)
            room = limit_bytes // self.bytes_per_token - len(prefix)
            self.kept = int(np.searchsorted(np.cumsum([len(text) for text in ids]), room, side="right"))
            self._lengths = [len(text) for text in ids[: self.kept]]
            self._start = len(prefix) + np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
            self._states = {
                layer: (
                    k.new_empty(int(self._start[-1]), *k.shape[1:]),
                    v.new_empty(int(self._start[-1]), *v.shape[1:]),
                )
                for layer, (k, v) in first.items()
            }
            self._fill(0, first, 0)
            at = len(prefix)
            for batch in self._batches(ids[: self.kept]):
                self._fill(at, self._keys_values([prefix, *batch]), len(prefix))
                at += sum(map(len, batch))

    def _fill(self, at: int, found: dict[int, KeysValues], skip: int) -> None:
        for layer, both in found.items():
            for kept, new in zip(self._states[layer], both, strict=True):
                kept[at : at + len(new) - skip] = new[skip:]

    def _batches(self, ids: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
        batch: list[tuple[int, ...]] = []
        for text in ids:
            if batch and sum(map(len, batch)) + len(text) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(text)
        if batch:
            yield batch

    def _keys_values(self, segments: Sequence[Sequence[int]]) -> dict[int, KeysValues]:
        """By layer, the keys and values of P and of texts that follow it."""
        _, layout = lay_out(Segments(segments, [-1, *[0] * (len(segments) - 1)]))
        layout = to_device(layout, self.student.device)
        tokens = torch.tensor([token for ids in segments for token in ids], device=self.student.device)
        kept: dict[int, KeysValues] = {}
        _, kept[self.student.last] = self._run(tokens, layout, None, kept)
        return kept

    def _run(
        self, tokens: Tensor, layout: Layout, past: _Past | None, kept: dict[int, KeysValues] | None
    ) -> tuple[Tensor, KeysValues]:
        """The hidden states below the last layer, and that layer's keys and values."""
        below, last = self.student.below_last
        hidden = below(tokens, layout["position"], PackedAttention(layout, past=past, kept=kept))
        top: dict[int, KeysValues] = {}
        with suppress(KeysKnown):
            last(hidden, layout["position"], PackedAttention(layout, kept=top, leave=True))
        return hidden, top[self.student.last]

    def log_odds(self, b: Sequence[int], texts: Sequence[int]) -> np.ndarray:
        """(n,) float64 log-odds of the pairs (text, b).

        Args:
            b: Token ids of the second text.
            texts: Indices of n kept texts.
        """
        template = self.student.template
        rest = (*template.middle, *b, *template.suffix)
        found = np.zeros(len(texts))
        with torch.inference_mode(), self.student.lock:
            for batch in text_batches([len(rest)] * len(texts), self.batch_tokens):
                found[batch] = self._answers(rest, [texts[i] for i in batch])
        return found

    def _answers(self, rest: tuple[int, ...], texts: list[int]) -> np.ndarray:
        prefix, n, device = len(self.student.template.prefix), len(texts), self.student.device
        lengths = [self._lengths[text] for text in texts]
        segments = Segments(
            [[0] * prefix, *([0] * length for length in lengths), *[rest] * n], [-1, *[0] * n, *range(1, n + 1)]
        )
        _, layout = lay_out(segments, past=[prefix, *lengths])
        read, asked = read_layout(layout, n * len(rest), n)
        places = np.concatenate([np.arange(prefix), *(np.arange(*self._start[t : t + 2]) for t in texts)])
        past = _Past(self._states, torch.from_numpy(places).to(device))
        layout, read, asked = to_device(layout, device), to_device(read, device), asked.to(device)
        hidden, top = self._run(torch.tensor(rest * n, device=device), layout, past, None)
        last = self.student.last
        keys, values = (torch.cat(both) for both in zip(top, past[last], strict=True))
        _, run_last = self.student.below_last
        attention = PackedAttention(read, past={last: (keys, values)})
        answered = self.student.answer(run_last(hidden[asked], read["position"], attention))
        return answered.double().cpu().numpy()
