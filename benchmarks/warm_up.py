"""Claim: an epoch of warm-up costs less than the same distillation in sentence-transformers.

Ours: `WarmupTrainer` with LoRA at full depth and the default site: each distinct text once, up to the site's layer.
Target 1.3 in texts per second against the peer at full depth, 1.0 against the peer cut at the site's layer.

Peer: `SentenceTransformerTrainer` over the same LLM with the same LoRA and mean pooling, taught the same MiniLM
vectors, given as labels, by the loss that ours uses: KL and squared error between the cosine matrices of the batch.
None of its own losses learns a whole matrix while encoding each text once, so this is its cheapest way. Its best
setting here: float32, the same 32 texts a batch, and batches of like lengths by a sampler of our own, since it
has none; the same longest text.

Sample: pairs of the demo that share no text, so that pairs and texts come to the same for both, of texts of like
length and grouped, as a long epoch's batches would be for the peer too.

Run: python -m benchmarks.warm_up [--student smollm2-135m] [--batches 2]
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.artefact import lora, make_student, source, teacher_signal
from benchmarks.harness import Side, arguments, judge, measure
from benchmarks.peers import embedder, site_depth
from benchmarks.result import write
from benchmarks.samples import like_texts, token_lengths
from benchmarks.training import LEARNING_RATE, timed, warmup_epoch
from flipkd.losses.distillation import distillation
from flipkd.student.model import Student
from flipkd.training.config import FlipConfig

SETTING = (
    "sentence-transformers' SentenceTransformerTrainer, mean pooling, the same LoRA, teacher and loss, batches of as "
    "many texts, grouped by length with a sampler of our own, float32"
)


class MatrixDistillation(nn.Module):
    """Our distillation as a loss of sentence-transformers; the labels are the teacher's vectors."""

    def __init__(self, model: Any, config: FlipConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, sentence_features: Any, labels: Tensor) -> Tensor:
        """The loss of one batch of texts."""
        (features,) = sentence_features
        vectors = nn.functional.normalize(self.model(features)["sentence_embedding"], dim=-1)
        keep = torch.ones(len(vectors), len(vectors), dtype=torch.bool)
        found = distillation(
            vectors @ vectors.T, labels @ labels.T, keep=keep, temperature=self.config.distillation_temperature
        )
        return found.kl + self.config.squared_weight * found.squared


class SortedBatches:
    """Batches of rows that follow one another, in random order; the trainer makes it from its argument `batch_sampler`.

    The rows come sorted by length.
    """

    def __init__(self, dataset: Any, batch_size: int, *, seed: int, **_: Any) -> None:
        self.rng = np.random.default_rng(seed)
        rows = range(len(dataset))
        self.batches = [list(rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches[place] for place in self.rng.permutation(len(self.batches)))

    def set_epoch(self, epoch: int) -> None:
        """The trainer calls this."""


class Peer:
    """sentence-transformers' trainer on the same texts.

    Args:
        student: Ours, for its LoRA and its cap.
        folder: Where the LLM lies.
        texts: Distinct texts, sorted by length.
        vectors: (n, d) the teacher's, in the order of the texts.
        config: For weights and temperature.
        layers: Cut the LLM there; `None` keeps it whole.
    """

    def __init__(
        self,
        student: Student,
        folder: str,
        texts: list[str],
        vectors: np.ndarray,
        config: FlipConfig,
        layers: int | None,
    ) -> None:
        from datasets import Dataset
        from peft import inject_adapter_in_model

        self.model = embedder(folder, max_tokens=student.template.max_text_tokens, layers=layers)
        inject_adapter_in_model(lora(student), self.model[0].model)
        self.config = config
        self.rows = Dataset.from_dict({"text": texts, "label": vectors.tolist()})

    def epoch(self) -> float:
        """Seconds of one epoch, trained anew."""
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

        def make(output: str, clock: Any) -> Any:
            options = SentenceTransformerTrainingArguments(
                output_dir=output, num_train_epochs=1, learning_rate=LEARNING_RATE,
                per_device_train_batch_size=2 * self.config.batch_pairs, max_grad_norm=self.config.max_grad_norm,
                batch_sampler=SortedBatches, use_cpu=True, dataloader_pin_memory=False, logging_strategy="no",
                save_strategy="no", report_to="none", disable_tqdm=True, seed=self.config.seed,
            )  # fmt: skip
            loss = MatrixDistillation(self.model, self.config)
            return SentenceTransformerTrainer(
                self.model, options, train_dataset=self.rows, loss=loss, callbacks=[clock]
            )

        return timed(make)

    def side(self, name: str) -> Side:
        """As a side of a comparison."""
        transformer = self.model[0]
        return Side(
            name, self.epoch, transformer.model.get_input_embeddings(), transformer.tokenizer.pad_token_id, SETTING
        )


def main() -> None:
    """Measure one student."""
    parser = arguments(__doc__, student="smollm2-135m", batches=2)
    options = parser.parse_args()
    config = FlipConfig(adapt_layers="all")
    student = make_student(options.student, options.cache_dir)
    pairs = like_texts(student.tokenizer, options.batches)
    lengths = token_lengths(student.tokenizer, pairs.texts())
    texts = [pairs.texts()[place] for place in np.argsort(lengths, kind="stable")]
    vectors = teacher_signal(texts, pairs.text_a, pairs.text_b).vectors
    assert vectors is not None
    folder = source(options.student, options.cache_dir)
    depth = site_depth(student)
    whole = Peer(student, folder, texts, vectors, config, None).side("sentence-transformers, full depth")
    short = Peer(student, folder, texts, vectors, config, depth).side(f"sentence-transformers, cut to {depth} layers")
    ours = Side(
        "warm-up", warmup_epoch(student, pairs, config), student.model.get_input_embeddings(),
        student.tokenizer.pad_token_id,
    )  # fmt: skip
    timing = measure([ours, whole, short], options.repetitions)
    write(
        [
            judge(
                f"warm_up/{options.student}/against-{what}", timing, ours, peer, target=target, work=len(texts),
                unit="texts", note=f"{len(texts)} distinct texts, {2 * config.batch_pairs} a batch.",
            )
            for what, peer, target in (("full-depth", whole, 1.3), ("cut", short, 1.0))
        ],
        options.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
