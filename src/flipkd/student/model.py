"""The student in one forward: the vector of each text and the log-odds of each pair.

A batch is one row of tokens in which nothing stands twice (`flipkd.student.packing`). Its tokens go through the
layers together, and each leaves when nothing more is read of it: a text that begins no pair at the attention of
the last site, and in the last layer all but the positions where an answer is read. Only these pass the final
norm, and only the two label rows of the output layer are computed (docs/method.md sections 2 and 3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.student.attention import KeysKnown, KeysValues, PackedAttention, install
from flipkd.student.packing import Layout, Packed, carried_layout, pack, to_device
from flipkd.student.sites import Pooling, SiteReader, pool, site_layer
from flipkd.student.template import Template
from flipkd.student.trunk import Trunk, TrunkCache, TrunkDtype, model_fingerprint
from flipkd.student.view import Stretch, final_norm_name, layers_name, require_no_convolution


class StudentOutput(NamedTuple):
    """What one forward gives.

    Attributes:
        log_odds: (pairs,) float32, log p(match) - log p(no match) of the decoder.
        vectors: (texts, d) float32 unit rows, in the order that the batch was packed for; `None` if unread.
    """

    log_odds: Tensor
    vectors: Tensor | None


class Student(nn.Module):
    """A decoder-only LLM with LoRA, read as an encoder and a decoder.

    Args:
        model: The PEFT model, one adapter named ``default``.
        tokenizer: Its tokenizer.
        template: The prompt as ids.
        sites: Where vectors are read.
        pooling: How a text's positions become one vector.
        first_adapted: Index of the lowest layer with an adapter; all below is the frozen trunk.

    Attributes:
        lock: Held by whoever runs the layers: they pass vectors and hidden states through themselves, so two threads
            must take turns.
        last: Index of the last layer.
        below_last: The layers below the last, and the last.

    Raises:
        FlipkdError: If the model's own logits differ from what is read here, so that no architecture is
            silently misread, or the longest prompt does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        template: Template,
        *,
        sites: Sequence[str],
        pooling: Pooling,
        first_adapted: int,
    ) -> None:
        super().__init__()
        self.lock = Lock()
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.sites = tuple(sites)
        self.pooling: Pooling = pooling
        self.first_adapted = first_adapted
        base = model.get_base_model()
        room = getattr(base.config, "max_position_embeddings", template.longest)
        if template.longest > room:
            raise FlipkdError(
                f"Two texts of {template.max_text_tokens} tokens and the template take {template.longest} positions; "
                f"the student has {room}. Lower --max-text-tokens."
            )
        decoder = base.get_decoder()
        layers = getattr(decoder, layers_name(decoder))
        require_no_convolution(layers)
        last, site = len(layers) - 1, max(site_layer(site) for site in self.sites)
        self._reader = SiteReader(layers, self.sites)
        self._softcap = getattr(base.config, "final_logit_softcapping", None)
        # Granite divides its logits, Cohere multiplies them.
        self._scale = getattr(base.config, "logit_scale", 1.0) / getattr(base.config, "logits_scaling", 1.0)
        # In a tuple, so that what the student's model holds is not registered a second time.
        self._norm = (getattr(decoder, final_norm_name(decoder)),)
        self._leaving = {i: Stretch(decoder, i, i + 1, leavable=True) for i in range(last + 1)}
        theirs = self._own_logits()
        install(base)
        with self._in_stretches():
            early = {i: self._sites_before_attention(i) for i in self._leaving}
        # Where a site stands behind the attention of its layer, the layer has to run in full.
        self._boundary = site if early[site] else site + 1
        self._shortened = early[last]
        top = last if self._shortened else last + 1
        self._lower = Stretch(decoder, first_adapted, self._boundary)
        self._upper = Stretch(decoder, self._boundary, top)
        self.last = last
        self.below_last = (Stretch(decoder, 0, last), self._leaving[last])
        self.trunk = Trunk(Stretch(decoder, 0, first_adapted)) if first_adapted else None
        self._check_reading(theirs)

    @property
    def base_name(self) -> str:
        """The base model as it was loaded: a hub id or a folder."""
        return str(self.model.get_base_model().config._name_or_path)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def width(self) -> int:
        """Numbers of a vector: the adapter's rank times the sites."""
        return self._reader.width

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Compute activations again in the backward pass; the Trainer calls this. Always non-reentrant."""
        reentrant = (activation_checkpointing_kwargs or {}).get("use_reentrant", False)
        assert not reentrant, "reentrant checkpointing would leave the vectors without a graph"
        self.model.get_base_model().activation_checkpointing_enable({"use_reentrant": False}, **options)

    def train(self, mode: bool = True) -> "Student":
        """As for any module, but the frozen trunk stays as it is at inference: dropout there would be kept for good."""
        super().train(mode)
        if self.trunk is not None:
            self.trunk.stretch.view.eval()
        return self

    def merge(self) -> None:
        """Add B A to the weights, for inference: fewer multiplications, and A is still read. Not to be trained on."""
        self.model.merge_adapter()

    def use_trunk_cache(self, folder: Any, limit_bytes: int, dtype: TrunkDtype = "float32") -> None:
        """Keep the frozen layers' outputs in `folder`, each process in its own; nothing to do at full depth.

        Args and errors are those of `TrunkCache`.
        """
        if self.trunk is None:
            return
        if dtype == "float16":
            announce("trunk cache", "float16", "half the room; in training, log-odds and vectors move by up to 1e-2")
        base = self.model.get_base_model()
        weights = f"{model_fingerprint(self.trunk.stretch.view)}-{base.dtype}"
        self.trunk.cache = TrunkCache(
            folder,
            fingerprint=f"{weights}-layers{self.first_adapted}",
            width=int(base.config.hidden_size),
            limit_bytes=limit_bytes,
            dtype=dtype,
        )

    @contextmanager
    def unrounded(self) -> Iterator[None]:
        """Answer as without a trunk cache, where that rounds: the frozen layers are computed anew."""
        trunk = self.trunk
        if trunk is None or trunk.cache is None or trunk.cache.exact:
            yield
            return
        cache, trunk.cache = trunk.cache, None
        try:
            yield
        finally:
            trunk.cache = cache

    def _leave(self, layer: int, hidden: Tensor, position: Tensor) -> KeysValues:
        """Run a layer up to its attention; gives its keys and values. Sites before the attention are reached."""
        kept: dict[int, KeysValues] = {}
        nobody = PackedAttention(Layout(position=position, rows=[], back=position), kept=kept, leave=True)
        try:
            self._leaving[layer](hidden, position, nobody)
        except KeysKnown:
            return kept[layer]
        raise FlipkdError(f"{type(self.model.get_base_model()).__name__} has a layer {layer} without attention.")

    @torch.no_grad()
    def _sites_before_attention(self, layer: int) -> bool:
        """Whether all sites of a layer, if any, read what feeds its attention; a layer without one is refused."""
        base = self.model.get_base_model()
        hidden = torch.zeros(1, base.config.hidden_size, device=self.device, dtype=base.dtype)
        with self._reader.reading() as captured:
            self._leave(layer, hidden, torch.zeros(1, dtype=torch.long, device=self.device))
        here = [output for site, output in zip(self.sites, captured, strict=True) if site_layer(site) == layer]
        return all(output is not None for output in here)

    def answer(self, read: Tensor) -> Tensor:
        """Log-odds from the (pairs, width) hidden states where answers are read, by two rows of the output layer."""
        read = self._norm[0](read)
        head = self.model.get_base_model().get_output_embeddings()
        labels = torch.tensor(self.template.label_ids, device=head.weight.device)
        bias = None if head.bias is None else head.bias[labels].float()
        logits = self._scale * F.linear(read.float(), head.weight[labels].float(), bias)
        if self._softcap is not None:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits[:, 1] - logits[:, 0]

    def forward(self, packed: Packed) -> StudentOutput:
        """Run a batch that `flipkd.student.packing.pack` made; it says whose vectors are read."""
        with self.lock:
            return self._forward(packed)

    def _forward(self, packed: Packed) -> StudentOutput:
        position, carried = packed["layout"]["position"], packed["carried"]
        token, split = packed["text_token"], packed["carried_text"]
        wanted = len(token) > 0
        hidden = packed["ids"] if self.trunk is None else self.trunk(packed)
        with self._reader.reading(wanted) as below:
            hidden = self._lower(hidden, position, PackedAttention(packed["layout"]))
        # The sites of the last layer with one: all tokens have reached them, or none.
        reached = all(output is not None for output in below)
        with self._reader.reading(wanted) as lone:
            if wanted and not reached and carried < len(hidden):
                self._leave(self._boundary, hidden[carried:], position[carried:])
        log_odds = torch.zeros(0, device=hidden.device)
        with self._reader.reading(wanted) as above:
            if carried:
                log_odds = self.answer(self._finish(packed, hidden[:carried]))
        if not wanted:
            return StudentOutput(log_odds, None)
        z = []
        for lower, alone, upper in zip(below, lone, above, strict=True):
            if lower is not None:
                z.append(lower[token])
                continue
            parts = [] if upper is None else [upper[token[:split]]]
            parts += [] if alone is None else [alone[token[split:] - carried]]
            if not parts:
                raise FlipkdError("The encoder was not reached: its adapter is disabled, so A never ran.")
            z.append(torch.cat(parts))
        return StudentOutput(log_odds, pool(z, packed, self.pooling))

    def _finish(self, packed: Packed, hidden: Tensor) -> Tensor:
        """The (pairs, width) hidden states of the read positions above all layers."""
        layout, read = carried_layout(packed), packed["read"]
        hidden = self._upper(hidden, layout["position"], PackedAttention(layout))
        if not self._shortened:
            return hidden[packed["asked"]]
        past = {self.last: self._leave(self.last, hidden, layout["position"])}
        return self._leaving[self.last](hidden[packed["asked"]], read["position"], PackedAttention(read, past=past))

    def _samples(self) -> list[tuple[int, ...]]:
        """Two short texts, and two at the cap."""
        short = self.template.encode_texts(self.tokenizer, ["a", "b"])
        return [*short, *((ids * self.template.max_text_tokens)[: self.template.max_text_tokens] for ids in short)]

    @torch.no_grad()
    def _own_logits(self) -> Tensor:
        """(2, 2) logits of no match and match, of a short prompt and of the longest one, by the model's own forward."""
        a, b, long_a, long_b = self._samples()
        prompts = (self.template.pair(a, b), self.template.pair(long_a, long_b))
        both = [torch.tensor([prompt], device=self.device) for prompt in prompts]
        last = [self.model(input_ids=ids, logits_to_keep=1).logits[0, -1] for ids in both]
        return torch.stack(last)[:, list(self.template.label_ids)]

    @contextmanager
    def _in_stretches(self) -> Iterator[None]:
        """Name an architecture that cannot be run so; what it stumbles over is of many kinds."""
        try:
            yield
        except (TypeError, RuntimeError, IndexError) as error:
            raise FlipkdError(
                f"{type(self.model.get_base_model()).__name__} cannot be run in stretches of layers: {error}. Choose "
                "another student."
            ) from error

    @torch.no_grad()
    def _check_reading(self, logits: Tensor) -> None:
        """Compare this reading with the model's own logits, and see that vectors can be read."""
        theirs = logits[:, 1].float() - logits[:, 0].float()
        if not theirs.isfinite().all():
            raise FlipkdError(
                f"The base model {self.base_name} answers {theirs.tolist()}: its weights are damaged, or too large for "
                f"{next(self.parameters()).dtype}. Fetch it again, or choose another student."
            )
        packed = to_device(pack(self.template, self._samples(), [(0, 1), (2, 3)]), self.device)
        with self._in_stretches():
            ours = self(packed).log_odds
        # Theirs is a difference of two logits that were rounded to the model's dtype, ours is not.
        dtype = next(self.parameters()).dtype
        tolerance = float(torch.finfo(dtype).eps * logits.abs().max()) + (1e-3 if dtype == torch.float32 else 0.25)
        if not (ours - theirs).abs().max() <= tolerance:
            shown = [", ".join(f"{value:.4f}" for value in answers.tolist()) for answers in (theirs, ours)]
            raise FlipkdError(
                f"{type(self.model.get_base_model()).__name__} answers {shown[0]} by its own forward and {shown[1]} "
                "as flipkd reads it: this architecture does something to its hidden states or logits that flipkd "
                "does not know. Choose another student."
            )
