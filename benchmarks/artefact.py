"""Students and artefacts as a training would leave them, without the training: only speed is measured here.

LoRA's B is drawn with a seed instead of learnt, so that the adapter does something and takes its full time.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from flipkd.matching.artefact import ArtefactSpec, TeacherRecord
from flipkd.matching.matcher import Matcher
from flipkd.student.adapter import AdaptLayers, add_adapter
from flipkd.student.loading import load_student, packaged_folder
from flipkd.student.model import Student
from flipkd.student.template import Template
from flipkd.student.trunk import model_fingerprint
from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.teacher import Teacher, cosines

RANK, SEED = 32, 0
SPREAD = 0.002
"""Standard deviation of the drawn B: the answers move, and stay far from overflow."""
TOY_PROMPT = "text a {a} text b {b} same answer"
TOY_WORDS = [f"word{number}" for number in range(500)]


def make_student(
    name: str, cache_dir: Path, *, adapt_layers: AdaptLayers = "all", max_text_tokens: int = 128, drawn: bool = False
) -> Student:
    """A packaged student, or one in a folder, with a fresh adapter.

    Args:
        name: As for `load_student`.
        cache_dir: Where packaged students are kept once converted.
        adapt_layers: See `add_adapter`.
        max_text_tokens: The cap of each text.
        drawn: Draw B, as for an artefact; otherwise it is zero, as at the start of a training.
    """
    base, tokenizer = load_student(name, device="cpu", cache_dir=cache_dir)
    template = Template.build(tokenizer, max_text_tokens=max_text_tokens)
    student = _adapted(base, tokenizer, template, adapt_layers, RANK)
    if drawn:
        draw(student)
    return student


def _adapted(base: Any, tokenizer: Any, template: Template, adapt_layers: AdaptLayers, rank: int) -> Student:
    return add_adapter(
        base, tokenizer, template, adapt_layers=adapt_layers, rank=rank, alpha=2.0 * rank, site_layer=None,
        site_modules=None, pooling="mean", seed=SEED,
    )  # fmt: skip


def draw(model: torch.nn.Module) -> None:
    """Draw every LoRA B with the seed."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=SPREAD, generator=generator)


def lora(student: Student) -> Any:
    """The LoRA of a student of full depth, for a peer: the same rank, scale and modules."""
    from peft import LoraConfig

    own = student.model.peft_config["default"]
    return LoraConfig(r=own.r, lora_alpha=own.lora_alpha, lora_dropout=0.0, target_modules=own.target_modules)


def merged_base(name: str, cache_dir: Path) -> Any:
    """The same artefact for a peer without LoRA: the drawn adapter merged into the base."""
    return make_student(name, cache_dir, drawn=True).model.merge_and_unload()


def source(name: str, cache_dir: Path) -> str:
    """The folder that a peer loads a student from."""
    from flipkd.student.loading import PACKAGED

    return str(packaged_folder(name, cache_dir)) if name in PACKAGED else name


def make_spec(student: Student, base_model: str, source: str) -> ArtefactSpec:
    """What an artefact in which one source answers says of itself."""
    answer = {"sources": [source], "weights": [1.0], "bias": 0.0, "threshold": 0.5, "reason": "a benchmark"}
    return ArtefactSpec(
        base_model=base_model,
        base_fingerprint=model_fingerprint(student.model.get_base_model()),
        template=student.template.as_dict(),
        sites=student.sites,
        pooling=student.pooling,
        first_adapted=student.first_adapted,
        directed=False,
        symmetric=False,
        answer=answer,
        thresholds={},
        teacher=TeacherRecord(name="minilm", revision="", kept=False),
        data={},
        config={},
        versions={},
        seed=SEED,
    )


def write_artefact(student: Student, base_model: str, folder: Path, source: str = "decoder") -> None:
    """The artefact of a student, as a run writes it, down to what a matcher reads."""
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    make_spec(student, base_model, source).write(folder)


def make_matcher(name: str, cache_dir: Path, *, max_text_tokens: int = 128) -> Matcher:
    """A matcher of a student of full depth whose decoder answers, written and loaded as a user's would be."""
    with TemporaryDirectory() as folder:
        student = make_student(name, cache_dir, max_text_tokens=max_text_tokens, drawn=True)
        write_artefact(student, name, Path(folder))
        return Matcher.from_pretrained(folder, device="cpu", cache_dir=cache_dir)


def teacher_signal(texts: list[str], text_a: list[str], text_b: list[str]) -> TeacherSignal:
    """What the packaged MiniLM says of the texts, not fine-tuned: only speed is measured.

    Args:
        texts: The distinct texts of the pairs in order of first appearance, then any further ones.
        text_a: The first text of each pair.
        text_b: The second.
    """
    vectors = Teacher.load("minilm", device="cpu", cache=False).vectors(texts)
    row = {text: number for number, text in enumerate(texts)}
    a, b = (np.array([row[text] for text in side], dtype=np.int64) for side in (text_a, text_b))
    geometry = np.zeros(len(texts), dtype=np.int64)
    return TeacherSignal(
        texts, vectors, geometry, cosines(vectors, a, b), mask_pairs=False, calibration=np.array([[10.0, -5.0]])
    )


def write_toy(folder: Path, source: str) -> Path:
    """A toy artefact on disk, two small layers over a vocabulary of words: what costs is all that is not the LLM.

    Args:
        folder: Empty.
        source: Which signal answers, `decoder` or `encoder`.

    Returns:
        The artefact's folder, inside `folder`.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.models.llama import LlamaConfig

    words = ["<unk>", "<pad>", "no", "yes", *TOY_PROMPT.replace("{a}", "").replace("{b}", "").split(), *TOY_WORDS]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>")
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=32, num_attention_heads=2, num_hidden_layers=2,
        num_key_value_heads=1, max_position_embeddings=128, pad_token_id=1,
    )  # fmt: skip
    base_folder, artefact = folder / "base", folder / "artefact"
    AutoModelForCausalLM.from_config(config).save_pretrained(base_folder)
    tokenizer.save_pretrained(base_folder)
    base, tokenizer = load_student(str(base_folder), device="cpu", cache_dir=folder)
    template = Template.build(tokenizer, prompt=TOY_PROMPT, label_words=("no", "yes"), max_text_tokens=32)
    student = _adapted(base, tokenizer, template, "all", 4)
    draw(student)
    write_artefact(student, str(base_folder), artefact, source)
    return artefact
