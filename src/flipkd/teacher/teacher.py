"""A teacher in use: vectors of texts and similarities of pairs, each computed once."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce, track, warn
from flipkd.data.given import given_texts
from flipkd.errors import FlipkdError
from flipkd.teacher.cache import Content, cached, default_dir
from flipkd.teacher.loading import Kind, content_files, fingerprint, kind_of, load_model, resolve

BATCH = 64
"""Texts, or pairs, of one forward."""
NOTICES = ("README.md", "LICENSE", "LICENSE.md", "NOTICE", "NOTICE.md")
"""Card and licence, which go wherever a copy of the model goes."""
CHUNK = 65_536
"""Pairs whose cosines are taken at once: 200 MB of vectors at 384 dimensions."""


class Teacher:
    """A small encoder that says how alike two texts are (docs/method.md section 4).

    Made by `Teacher.load`.
    """

    def __init__(
        self, name: str, kind: Kind, revision: str, *, folder: Path, model: Any, cache_dir: Path | None
    ) -> None:
        self.name = name
        """As the user gave it."""
        self.kind: Kind = kind
        """`bi` gives vectors and all similarities, `cross` those of pairs alone."""
        self.revision = revision
        """Fingerprint of weights, tokenizer and pooling: the same on every machine."""
        self.model = model
        """The `SentenceTransformer` or `CrossEncoder`."""
        self._folder = folder
        self._cache_dir = cache_dir

    @classmethod
    def load(
        cls, name: str, *, device: str | None = None, cache_dir: Path | None = None, cache: bool = True
    ) -> "Teacher":
        """Load a teacher, from safetensors alone and without remote code.

        Args:
            name: A hub id, a folder, a folder of `flipkd teacher train` (the one trained on all pairs is
                taken), or `minilm`.
            device: Such as cuda or cpu; by default a GPU where there is one.
            cache_dir: Where vectors and similarities are kept; by default ~/.cache/flipkd.
            cache: False keeps nothing on disk and says nothing: for texts that come once, as in serving.

        Raises:
            FlipkdError: If there is no such teacher, it is neither bi- nor cross-encoder, it is a
                cross-encoder with more than one label, or it can't be loaded.
        """
        folder = resolve(name)
        kind, reason = kind_of(folder)
        announce(f"teacher {name}", "bi-encoder" if kind == "bi" else "cross-encoder", reason)
        return cls(
            name,
            kind,
            fingerprint(folder),
            folder=folder,
            model=load_model(folder, kind, device=device),
            cache_dir=(cache_dir or default_dir()) if cache else None,
        )

    def save(self, folder: Path) -> None:
        """Copy the teacher's files to a new folder; `load` gives the same revision from there.

        Licence and model card are copied too, other files are not.
        """
        notices = [Path(name) for name in NOTICES if (self._folder / name).is_file()]
        for file in [*content_files(self._folder), *notices]:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / file, folder / file)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, each distinct one encoded once.

        Args:
            texts: n texts, repeats allowed.

        Returns:
            (n, d) float32, each row of length 1.

        Raises:
            FlipkdError: For a cross-encoder, if it is one text and not a list, or if a vector is not finite or is zero.
        """
        texts = given_texts(texts)
        values, row = self._distinct_vectors(texts)
        return np.asarray(values[[row[text] for text in texts]])

    def similarity(self, text_a: Sequence[str], text_b: Sequence[str]) -> NDArray[np.float32]:
        """T of each pair: the cosine, or for a cross-encoder 2p - 1.

        p is the sigmoid of the network's output before any activation, whether or not the model's own
        activation turns it into a probability.

        Args:
            text_a: n texts.
            text_b: n texts.

        Returns:
            (n,) float32 in [-1, 1].

        Raises:
            FlipkdError: If one is a text and not a list, or a similarity is not finite.
        """
        text_a, text_b = given_texts(text_a, "text_a"), given_texts(text_b, "text_b")
        if self.kind == "cross":
            return self._pair_similarity(list(zip(text_a, text_b, strict=True)))
        values, row = self._distinct_vectors([*text_a, *text_b])
        pairs = np.asarray([(row[a], row[b]) for a, b in zip(text_a, text_b, strict=True)], dtype=np.int64)
        return cosines(values, *pairs.reshape(-1, 2).T)

    def _distinct_vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], dict[str, int]]:
        """Vectors of the distinct texts, and the row of each text."""
        if self.kind == "cross":
            raise FlipkdError(
                f"The teacher {self.name!r} is a cross-encoder: it compares pairs and has no vectors of texts. "
                "Use a bi-encoder here."
            )
        # Sorted, so that the same texts are one cache entry in whatever order they come.
        distinct = sorted(set(texts))
        if not distinct:
            return np.zeros((0, self.model.get_embedding_dimension()), dtype=np.float32), {}
        prompt = self.model.prompts.get(self.model.default_prompt_name, "")
        self._warn_cut([(prompt + text,) for text in distinct])
        values = self._kept("vectors", distinct, len(distinct), lambda: self._encode(distinct))
        return values, {text: number for number, text in enumerate(distinct)}

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        values = np.empty((len(texts), self.model.get_embedding_dimension()), dtype=np.float32)
        for rows in self._batches([len(text) for text in texts], "Teacher vectors"):
            values[rows] = self.model.encode(
                [texts[row] for row in rows], batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
            )
        length = np.linalg.norm(values, axis=1, keepdims=True)
        bad = np.flatnonzero(~np.isfinite(length[:, 0]) | (length[:, 0] == 0))
        if len(bad):
            raise FlipkdError(
                f"The teacher {self.name!r} gives no usable vector (not finite, or zero) for {len(bad)} of "
                f"{len(texts)} texts, first {texts[bad[0]][:80]!r}. Leave them out or use another teacher."
            )
        values /= length
        return values

    def _pair_similarity(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        distinct = sorted(set(pairs))
        if not distinct:
            return np.zeros(0, dtype=np.float32)
        self._warn_cut(distinct)
        flat = [text for pair in distinct for text in pair]
        values = self._kept("similarities", flat, len(distinct), lambda: self._compare(distinct))
        row = {pair: number for number, pair in enumerate(distinct)}
        return np.asarray(values[[row[pair] for pair in pairs]])

    def _compare(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        import torch

        logit = np.empty(len(pairs), dtype=np.float64)
        for rows in self._batches([len(a) + len(b) for a, b in pairs], "Teacher similarities"):
            logit[rows] = self.model.predict(
                [pairs[row] for row in rows],
                batch_size=BATCH,
                show_progress_bar=False,
                activation_fn=torch.nn.Identity(),
            )
        bad = np.flatnonzero(~np.isfinite(logit))
        if len(bad):
            raise FlipkdError(
                f"The teacher {self.name!r} gives no finite similarity for {len(bad)} of {len(pairs)} pairs, "
                f"first {pairs[bad[0]]!r}. Leave them out or use another teacher."
            )
        # 2 sigmoid(z) - 1 = tanh(z / 2)
        return np.tanh(logit / 2).astype(np.float32)

    def _batches(self, lengths: list[int], description: str) -> Sequence[NDArray[np.int64]] | Any:
        """Rows batch by batch, the longest first, so that too long a batch fails at once."""
        order = np.argsort(-np.asarray(lengths), kind="stable")
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        return batches if self._cache_dir is None else track(batches, description)

    def _kept(
        self, content: Content, texts: list[str], rows: int, compute: Callable[[], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        if self._cache_dir is None:
            return compute()
        return cached(
            self._cache_dir,
            content,
            teacher=self.name,
            revision=self.revision,
            texts=texts,
            rows=rows,
            compute=compute,
        )

    def _warn_cut(self, inputs: Sequence[tuple[str, ...]]) -> None:
        """Say how many inputs, texts or pairs, are longer than the teacher reads."""
        limit = self.model.max_seq_length
        # A text has at most as many tokens as bytes, so only long ones need the tokenizer; 8 is ample for
        # special tokens.
        long = [] if limit is None else [parts for parts in inputs if sum(len(p.encode()) for p in parts) + 8 > limit]
        if not long:
            return
        ids = self.model.tokenizer(*map(list, zip(*long, strict=True)), truncation=False, verbose=False)["input_ids"]
        cut = sum(len(tokens) > limit for tokens in ids)
        if cut:
            what = "texts" if self.kind == "bi" else "pairs"
            warn(
                f"{cut} of {len(inputs)} {what} are longer than the {limit} tokens the teacher reads, and are cut.",
                key=f"teacher {self.name} cuts at {limit}",
            )


def cosines(vectors: NDArray[np.float32], row_a: NDArray[np.int64], row_b: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosines of pairs of rows.

    Args:
        vectors: (m, d) float32, rows of length 1.
        row_a: (n,) rows.
        row_b: (n,) rows.

    Returns:
        (n,) float32 in [-1, 1].
    """
    found = np.empty(len(row_a), dtype=np.float32)
    for start in range(0, len(row_a), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = np.einsum("nd,nd->n", vectors[row_a[part]], vectors[row_b[part]])
    return np.clip(found, -1, 1)
