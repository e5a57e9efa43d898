"""All that can be set, as dataclasses: one source for Python, YAML and the command line."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from flipkd.errors import FlipkdError
from flipkd.student.template import DEFAULT_LABEL_WORDS, DEFAULT_PROMPT
from flipkd.teacher.thresholds import DualThresholds

_ABOVE_ZERO = (
    "lora_rank", "lora_alpha", "max_text_tokens", "warmup_learning_rate", "epochs", "learning_rate",
    "gradient_accumulation_steps", "max_grad_norm", "early_stopping_patience", "logging_steps", "mcl_temperature",
    "distillation_temperature",
)  # fmt: skip
_NOT_BELOW_ZERO = (
    "warmup_epochs", "mcl_weight", "distillation_weight", "soft_weight", "margin_positive", "margin_negative",
    "intra_weight", "intra_scale", "intra_gap", "squared_weight", "seed",
)  # fmt: skip


@dataclass
class FlipConfig:
    """The student, the losses and the two stages (docs/method.md sections 2, 3 and 5)."""

    adapt_layers: int | Literal["all", "auto"] = "auto"
    """LoRA on this many of the top layers; the layers below are frozen and computed once. `auto` takes 14 of 30
    on a CPU and all on a GPU."""
    lora_rank: int = 32
    """r of LoRA: how many numbers A gives at each site."""
    lora_alpha: float = 64.0
    """LoRA's scale, over r."""
    site_layer: int | None = None
    """The layer whose A outputs are the vectors; by default five sixths up."""
    site_modules: list[str] | None = None
    """The modules read there, such as self_attn.q_proj; by default what feeds the attention (q, k and v)."""
    pooling: Literal["mean", "last"] = "last"
    """A text's vector from its own tokens: the last of them, which has read the others, or their mean."""
    prompt: str = DEFAULT_PROMPT
    """The prompt, with {a} before {b}, ending in the answer cue."""
    label_words: tuple[str, str] = DEFAULT_LABEL_WORDS
    """The words for no match and match, one token each."""
    max_text_tokens: int = 128
    """Each text is cut there, and nothing else ever is."""
    directed: bool = False
    """The order of a and b has a meaning (query to answer). Otherwise both orders are trained, and averaged at
    inference where that wins on validation."""

    warmup_epochs: float = 6.0
    """Passes of the encoder's warm-up, without labels; 0 leaves it out."""
    warmup_learning_rate: float | Literal["auto"] = "auto"
    """Peak learning rate of the warm-up. `auto` takes 1e-3 for SmolLM2-135M, and for others in proportion to how much
    their linear maps multiply a vector, which is said."""
    epochs: float = 6.0
    """Passes of the joint training."""
    learning_rate: float | Literal["auto"] = "auto"
    """Peak learning rate of the joint training, and of fine-tuning. `auto` takes 2e-3 for SmolLM2-135M, and for others
    in the same proportion."""
    batch_pairs: int = 16
    """Pairs of a batch."""
    gradient_accumulation_steps: int = 1
    """Batches of a step. MCL and the distillation compare within a batch, so this is not the same as a larger
    batch for them."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, to save memory."""
    max_grad_norm: float = 1.0
    """The gradient's norm is clipped there."""
    early_stopping_patience: int | None = None
    """Stop the joint training after this many passes without a better AP on validation, and keep the best."""
    logging_steps: int = 10
    """Log every so many steps: each term, and the norm of its gradient."""
    report_to: list[str] = field(default_factory=list)
    """Also log to these integrations of transformers, such as tensorboard or wandb."""
    seed: int = 0
    """Seeds the adapter, the batches and the splits."""

    mcl_weight: float = 0.3
    """Weight of margin-aware contrastive learning (lambda_m)."""
    distillation_weight: float = 0.1
    """Weight of the distillation term in the joint training (lambda_d)."""
    soft_weight: float = 1.0
    """Weight of the decoder's cross-entropy against the teacher's calibrated probabilities (lambda_s)."""
    margin_positive: float = 0.1
    """Widest angular margin of positives, in radians (m_p)."""
    margin_negative: float = 0.1
    """Widest angular margin of negatives, in radians (m_n)."""
    mcl_temperature: float = 0.05
    """Temperature of the zone between the classes (tau)."""
    intra_weight: float = 1.0
    """Weight of the zone inside a class (beta)."""
    intra_scale: float = 1.0
    """How much of the teacher's gap the student must keep inside a class (kappa)."""
    intra_gap: float = 0.05
    """Teacher gaps up to this count as ties inside a class (delta)."""
    distillation_temperature: float = 0.05
    """Temperature of the distillation's softmax (tau_d)."""
    squared_weight: float = 10.0
    """Weight of the squared error inside the distillation term (gamma)."""
    sets: Literal["labels", "thresholds", "matrix"] = "labels"
    """MCL's sets: the labelled pairs, by their labels with the teacher's veto; the same pairs, by the teacher's
    thresholds alone; or every text a with every text b of the batch, by labels where known and thresholds else."""
    threshold_precision: float = 0.9
    """The teacher's precision on validation that the two thresholds ask for."""
    tau_p: float | None = None
    """The floor of trusted positives, in place of the fitted one; set both or neither."""
    tau_n: float | None = None
    """The ceiling of trusted negatives, likewise."""

    def __post_init__(self) -> None:
        self._require_known_words()
        if (self.tau_p is None) != (self.tau_n is None):
            raise FlipkdError("Set both of tau_p and tau_n, or neither.")
        if self.tau_p is not None and self.tau_n is not None:
            DualThresholds(self.tau_p, self.tau_n, "set by the user")
        if not 0 < self.threshold_precision <= 1:
            raise FlipkdError(f"threshold_precision is {self.threshold_precision}; it must be above 0, and 1 at most.")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value != "auto" and not 0 < value < math.inf:
                raise FlipkdError(f"{name} is {value}; it must be a number above 0.")
        if self.batch_pairs < 2:
            raise FlipkdError("batch_pairs must be at least 2: the losses compare pairs.")
        for name in _NOT_BELOW_ZERO:
            if not 0 <= getattr(self, name) < math.inf:
                raise FlipkdError(f"{name} is {getattr(self, name)}; it must be a number not below 0.")

    def _require_known_words(self) -> None:
        """The command line knows which words a field takes; from Python a wrong one would be found hours later."""
        for name, kind in get_type_hints(type(self)).items():
            found = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
            words = [word for choice in found for word in get_args(choice)]
            value = getattr(self, name)
            if words and value not in words and (isinstance(value, str) or kind in found):
                raise FlipkdError(f"{name} is {value!r}; it must be one of {', '.join(words)}.")
