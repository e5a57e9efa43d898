"""Claim: a flip step at full depth costs no more than plain fine-tuning elsewhere, and 4/3 of our own at most.

Ours: `FlipTrainer` with cross-entropy, soft labels, MCL and distillation, both texts' vectors read. Target 1.0 against
the peer in pairs per second, 0.75 against our own step of cross-entropy alone (which is the peer of the second row).

Peer: TRL's `SFTTrainer` with PEFT. It gets the token ids of our prompts with the label word behind as completion
(so no token more than ours, not even an end of sequence), and the same LoRA. Its best setting here: loss on the
completion alone by its default chunked head; pairs sorted by length, as its grouping would have them in a long epoch
(with fewer than four batches it doesn't group); float32, since bfloat16 is not faster on processors
without AMX; no gradient checkpointing, which only saves memory; batches of 16 as ours; padding-free and packing need
flash attention, which a CPU hasn't. Without Triton, that is on any CPU, TRL 1.16 sends every position through the
output layer, not the label's alone. So there is a row for it as it comes, and a harder one for it with `compute_loss`
overridden to do what it does on a GPU.

Samples: what batches hold when the demo's training pairs are grouped by length, which seldom share a text; with
--data, whole families of banking77, every pair of 32 queries, for the first student and without the easier row.

Run: python -m benchmarks.training_step [--data FOLDER] [--students smollm2-135m,gemma3-270m]
"""

from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.artefact import lora, make_student, source
from benchmarks.harness import Side, arguments, judge, measure
from benchmarks.result import Result, write
from benchmarks.samples import demo_pairs, families, like_batches, present
from benchmarks.training import LEARNING_RATE, joint_epoch, timed
from flipkd.data.table import PairTable
from flipkd.student.model import Student
from flipkd.training.config import FlipConfig

SETTING = (
    "TRL SFTTrainer, PEFT LoRA of the same rank, modules and layers; our token ids, loss on the label word alone, "
    "sorted by length, float32, no gradient checkpointing; "
)
AS_IT_COMES = SETTING + "its own chunked head, which on a CPU computes every position's logits."
LABEL_ONLY = SETTING + "compute_loss overridden to compute the label position's logits alone, as TRL does on a GPU."


def label_only(trainer: type) -> type:
    """TRL's trainer with the output layer at the label's position alone."""

    class LabelOnly(trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], **_: Any) -> torch.Tensor:
            base = model.get_base_model()
            hidden = base.get_decoder()(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
            ).last_hidden_state
            target = inputs["labels"][:, 1:]
            keep = target != -100
            return F.cross_entropy(base.get_output_embeddings()(hidden[:, :-1][keep]).float(), target[keep])

    return LabelOnly


class Sft:
    """TRL's trainer on the same prompts.

    Args:
        student: Ours, for its template and its LoRA.
        pairs: Labelled pairs.
        config: For the batch size.
        folder: Where the peer loads its model from.
    """

    def __init__(self, student: Student, pairs: PairTable, config: FlipConfig, folder: str) -> None:
        from datasets import Dataset, disable_progress_bars
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        disable_progress_bars()
        base = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        self.model = get_peft_model(base, lora(student))
        self.tokenizer = student.tokenizer
        self.config = config
        encode = student.template.encode_texts
        sides = (encode(self.tokenizer, side) for side in (pairs.text_a, pairs.text_b))
        prompts = [student.template.pair(a, b) for a, b in zip(*sides, strict=True)]
        words = [student.template.label_ids[int(label)] for label in pairs.require_labels()]
        both = sorted(zip(prompts, words, strict=True), key=lambda row: len(row[0]))
        self.rows = Dataset.from_dict(
            {
                "input_ids": [[*prompt, word] for prompt, word in both],
                "completion_mask": [[0] * len(prompt) + [1] for prompt, _ in both],
            }
        )

    def epoch(self, trainer: type) -> float:
        """Seconds of one epoch, trained anew by a kind of trainer."""
        from trl import SFTConfig

        def make(output: str, clock: Any) -> Any:
            options = SFTConfig(
                output_dir=output, num_train_epochs=1, learning_rate=LEARNING_RATE, lr_scheduler_type="linear",
                per_device_train_batch_size=self.config.batch_pairs, max_grad_norm=self.config.max_grad_norm,
                completion_only_loss=True, max_length=None, train_sampling_strategy="sequential",
                gradient_checkpointing=False, bf16=False, use_cpu=True, dataloader_pin_memory=False,
                logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, seed=self.config.seed,
            )  # fmt: skip
            tokenizer = self.tokenizer
            return trainer(self.model, options, train_dataset=self.rows, processing_class=tokenizer, callbacks=[clock])

        return timed(make)

    def side(self, name: str, trainer: type, setting: str) -> Side:
        """The side of a kind of trainer."""
        embedding = self.model.get_input_embeddings()
        return Side(name, lambda: self.epoch(trainer), embedding, self.tokenizer.pad_token_id, setting)


def claim(
    student: Student, name: str, pairs: PairTable, folder: str, repetitions: int, *, as_it_comes: bool = True
) -> list[Result]:
    """The rows of one student on one sample.

    Args:
        student: Ours.
        name: Of the results, before the peer's.
        pairs: The sample.
        folder: Where the peer loads the student from.
        repetitions: Turns.
        as_it_comes: Whether to measure the easier row, too.
    """
    from trl import SFTTrainer

    config = FlipConfig(adapt_layers="all")
    embedding, pad = student.model.get_input_embeddings(), student.tokenizer.pad_token_id
    sft = Sft(student, pairs, config, folder)
    flip = Side("flip step", joint_epoch(student, pairs, config, flip=True), embedding, pad)
    own = Side("own cross-entropy step", joint_epoch(student, pairs, config, flip=False), embedding, pad)
    peer = sft.side("TRL SFTTrainer", SFTTrainer, AS_IT_COMES)
    harder = sft.side("TRL SFTTrainer, label position only", label_only(SFTTrainer), LABEL_ONLY)
    others = {"trl": (peer, 1.0), "trl-label-only": (harder, 1.0), "own-cross-entropy": (own, 0.75)}
    if not as_it_comes:
        del others["trl"]
    timing = measure([flip, *(other for other, _ in others.values())], repetitions)
    note = f"{len(pairs)} pairs with {len(pairs.texts())} distinct texts, batches of {config.batch_pairs}."
    return [
        judge(
            f"{name}/against-{what}", timing, flip, other, target=target, work=len(pairs),
            unit="pairs", note=note,
        )
        for what, (other, target) in others.items()
    ]  # fmt: skip


def main() -> None:
    """Measure each student on the demo, and the first of them on families."""
    parser = arguments(__doc__, students="smollm2-135m,gemma3-270m", batches=1, queries=32)
    options = parser.parse_args()
    for place, name in enumerate(options.students.split(",")):
        student, folder = make_student(name, options.cache_dir), source(name, options.cache_dir)
        pairs = like_batches(student.tokenizer, demo_pairs(), options.batches)
        write(claim(student, f"training_step/{name}/demo", pairs, folder, options.repetitions), options.output)
        if place == 0 and present(options.data, "banking77", "training_step on families"):
            pairs = families(options.data, options.queries)
            write(
                claim(student, f"training_step/{name}/families", pairs, folder, options.repetitions, as_it_comes=False),
                options.output,
            )


if __name__ == "__main__":
    main()
