"""The student in one forward: the vector of each text and the log-odds of each pair.

The decoder runs over P a Q b R once. By causality a's vector in it equals a's vector alone, so it is free;
a text that stands nowhere as a is run alone, P t, and leaves above the last site. Only the read position
passes the final norm, and only the two label rows of the output layer are computed
(docs/method.md sections 2 and 3).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flipkd.errors import FlipkdError
from flipkd.student.padding import Rows, last_positions, pad, positions, to_device
from flipkd.student.sites import Pooling, SiteReader, pool, site_layer
from flipkd.student.template import Template
from flipkd.student.trunk import Trunk, TrunkCache, model_fingerprint
from flipkd.student.view import decoder_view, final_norm_name, layers_name


class StudentOutput(NamedTuple):
    """What one forward gives.

    Attributes:
        log_odds: (pairs,) float32, log p(match) - log p(no match) of the decoder; `None` without pairs.
        vectors: (pairs + texts, d) float32 unit rows, the a of each pair and then each text; `None` if unread.
    """

    log_odds: Tensor | None
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
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.sites = tuple(sites)
        self.pooling: Pooling = pooling
        self.first_adapted = first_adapted
        base = model.get_base_model()
        decoder = base.get_decoder()
        layers = getattr(decoder, layers_name(decoder))
        last_site = max(site_layer(site) for site in self.sites)
        self._reader = SiteReader(layers, self.sites)
        self._softcap = getattr(base.config, "final_logit_softcapping", None)
        # In a tuple, since the views share the decoder's parameters and must not be registered beside it.
        self._views = (
            decoder_view(decoder, first_adapted, len(layers)),
            decoder_view(decoder, first_adapted, last_site + 1),
            decoder_view(decoder, 0, first_adapted),
        )
        self._norm = (getattr(decoder, final_norm_name(decoder)),)
        self.trunk = Trunk(self._views[2], None) if first_adapted else None
        room = getattr(base.config, "max_position_embeddings", template.longest)
        if template.longest > room:
            raise FlipkdError(
                f"Two texts of {template.max_text_tokens} tokens and the template take {template.longest} positions; "
                f"the student has {room}. Lower --max-text-tokens."
            )
        self._check_reading()

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

    def use_trunk_cache(self, folder: Any, limit_bytes: int) -> None:
        """Keep the frozen layers' outputs in `folder` (see `TrunkCache`); nothing to do at full depth."""
        if self.trunk is None:
            return
        base = self.model.get_base_model()
        fingerprint = f"{model_fingerprint(self._views[2])}-layers{self.first_adapted}"
        width = int(base.config.hidden_size)
        self.trunk.cache = TrunkCache(folder, fingerprint=fingerprint, width=width, limit_bytes=limit_bytes)

    def _run(self, view: nn.Module, rows: Rows) -> Tensor:
        mask = rows["mask"]
        start: dict[str, Tensor] = (
            {"input_ids": rows["ids"]} if self.trunk is None else {"inputs_embeds": self.trunk(rows["ids"], mask)}
        )
        hidden: Tensor = view(
            **start, attention_mask=mask, position_ids=positions(mask), use_cache=False
        ).last_hidden_state
        return hidden

    def _read_answer(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Log-odds from the last real position of each row, two rows of the output layer only."""
        read = self._norm[0](hidden[torch.arange(len(hidden), device=hidden.device), last_positions(mask)])
        head = self.model.get_base_model().get_output_embeddings()
        labels = torch.tensor(self.template.label_ids, device=head.weight.device)
        bias = None if head.bias is None else head.bias[labels].float()
        logits = F.linear(read.float(), head.weight[labels].float(), bias)
        if self._softcap is not None:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits[:, 1] - logits[:, 0]

    def forward(self, pairs: Rows | None = None, texts: Rows | None = None, vectors: bool = True) -> StudentOutput:
        """Run pair prompts, lone texts, or both.

        Args:
            pairs: Pair prompts; ``text_mask`` marks a.
            texts: Texts alone, which leave above the last site.
            vectors: Read the vectors; without them the pairs' log-odds are all that is computed.
        """
        log_odds, found = None, []
        if pairs is not None:
            if vectors:
                with self._reader.reading() as captured:
                    hidden = self._run(self._views[0], pairs)
                found.append(pool(captured, pairs["text_mask"], self.pooling))
            else:
                hidden = self._run(self._views[0], pairs)
            log_odds = self._read_answer(hidden, pairs["mask"])
        if texts is not None:
            with self._reader.reading() as captured:
                self._run(self._views[1], texts)
            found.append(pool(captured, texts["text_mask"], self.pooling))
        return StudentOutput(log_odds, torch.cat(found) if found else None)

    @torch.no_grad()
    def _check_reading(self) -> None:
        """Compare this reading with the model's own forward on one prompt."""
        a, b = self.template.encode_texts(self.tokenizer, ["a", "b"])
        rows = to_device(pad([self.template.pair(a, b)], 0), self.device)
        was_training = self.training
        self.eval()
        try:
            ours = self(rows, vectors=False).log_odds.item()
            logits = self.model(input_ids=rows["ids"], attention_mask=rows["mask"], logits_to_keep=1).logits[0, -1]
        except (TypeError, RuntimeError) as error:
            raise FlipkdError(
                f"{type(self.model.get_base_model()).__name__} cannot be run in stretches of layers: {error}"
            ) from error
        finally:
            self.train(was_training)
        no, yes = self.template.label_ids
        theirs = (logits[yes].float() - logits[no].float()).item()
        tolerance = 1e-3 if next(self.parameters()).dtype == torch.float32 else 0.25
        if not abs(ours - theirs) <= tolerance:
            raise FlipkdError(
                f"{type(self.model.get_base_model()).__name__} answers {theirs:.4f} by its own forward and {ours:.4f} "
                "as flipkd reads it: this architecture does something to its hidden states or logits that flipkd "
                "does not know. Choose another student, or --adapt-layers all if the frozen trunk is the cause."
            )
