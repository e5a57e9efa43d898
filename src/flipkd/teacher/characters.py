"""A small encoder of characters that starts from nothing: no pretrained weights, no labels.

It is the weak teacher of a language whose encoders are not at hand: BERT's architecture, a token a character,
pretrained for a few minutes on the user's own texts. `fit_teacher` then fine-tunes it as any other.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce
from flipkd.data.identity import texts_digest
from flipkd.errors import FlipkdError
from flipkd.teacher.loading import without_bars

RECORD = "flipkd_characters.json"
"""What the encoder was made from, beside its weights."""
PAD, UNKNOWN, START, END = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
TYPE_AND_POSITION = 0.1
"""Share of the usual size at which the vectors of positions and of the segment begin."""


@dataclass(frozen=True)
class CharacterConfig:
    """What the encoder looks like and how it is pretrained."""

    layers: int = 2
    """Transformer layers."""
    width: int = 128
    """Length of a vector, of a character as of a text."""
    heads: int = 4
    """Attention heads of a layer; they divide the width."""
    max_tokens: int = 64
    """Characters of a text that are read, the two that BERT puts around it included."""
    min_count: int = 2
    """A character that the texts hold less often is unknown."""
    limit: int = 4_000
    """Texts to pretrain on; of more, so many are drawn."""
    epochs: int = 1
    """Passes of pretraining, in which two copies of a text find each other among those of a batch."""
    dropped: float = 0.2
    """Share of the characters that a copy lacks."""
    batch_size: int = 64
    """Texts of a batch."""
    learning_rate: float = 1e-3
    """Peak learning rate; it falls linearly to 0."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises to its peak."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise FlipkdError(f"{self.heads} heads do not divide a width of {self.width}.")
        if not 0 <= self.dropped < 1:
            raise FlipkdError(f"The share of dropped characters must be at least 0 and below 1; it is {self.dropped}.")


def make_character_encoder(
    texts: Sequence[str], folder: Path, *, seed: int, config: CharacterConfig, device: str | None = None
) -> None:
    """Train an encoder from nothing and save it as a sentence-transformers folder.

    The folder is written whole or not at all; a second call with the same arguments finds it.

    Args:
        texts: Unlabelled texts; repeats count once.
        folder: The folder, new or of an earlier call.
        seed: Of the weights, the sample of the texts, the order of the batches and all chance in training.
        config: Size and training.
        device: Where to compute, such as cuda or cpu; by default a GPU where there is one.

    Raises:
        FlipkdError: If there are fewer than 2 distinct texts, or the folder holds something else.
    """
    chosen = _choose(texts, config.limit, seed)
    record = {"texts": texts_digest(chosen), "seed": seed, "config": asdict(config)}
    if folder.exists():
        _require_same(folder, record)
        announce("character encoder", "kept", f"an earlier run finished {folder}")
        return
    words = character_tokenizer(chosen, min_count=config.min_count, max_tokens=config.max_tokens)
    announce(
        "character encoder",
        f"{config.layers} layers, {config.width} wide, {len(words)} characters",
        f"trained from nothing on {len(chosen)} texts without labels",
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model = _new_encoder(words, config, seed, device)
        _pretrain(model, chosen, config, seed)
        with without_bars():
            model.save_pretrained(str(partial), create_model_card=False)  # the card would quote texts
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _choose(texts: Sequence[str], limit: int, seed: int) -> list[str]:
    """The distinct texts that hold a character, or a sample of them, in the order given."""
    distinct = [text for text in dict.fromkeys(texts) if text.strip()]
    if len(distinct) < 2:
        raise FlipkdError("A character encoder is trained on 2 distinct texts or more. Bring more texts.")
    rows = np.sort(np.random.default_rng(seed).permutation(len(distinct))[:limit])
    return [distinct[row] for row in rows]


def _require_same(folder: Path, record: dict[str, Any]) -> None:
    file = folder / RECORD
    if not file.is_file() or json.loads(file.read_text(encoding="utf-8")) != record:
        raise FlipkdError(
            f"{folder} holds something else than the encoder of these texts, seed and settings. "
            "Give another folder, or delete this one."
        )


def character_tokenizer(texts: Sequence[str], *, min_count: int, max_tokens: int) -> Any:
    """A fast tokenizer to which every character but white space is a token, after NFKC and lower-casing.

    Args:
        texts: Where the vocabulary comes from.
        min_count: A character that they hold less often is `[UNK]`.
        max_tokens: Where texts are cut, `[CLS]` and `[SEP]` included.

    Returns:
        A `PreTrainedTokenizerFast`; the most frequent character has the smallest id after the special ones.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), behavior="isolated")]
    )
    trainer = trainers.WordLevelTrainer(min_frequency=min_count, special_tokens=list(SPECIAL), show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        pair=f"{START} $A {END} $B:1 {END}:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in (START, END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=max_tokens,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
    )


def _new_encoder(words: Any, config: CharacterConfig, seed: int, device: str | None) -> Any:
    """A `SentenceTransformer` with random weights: BERT, the mean of its token vectors, at length 1.

    BERT draws the vectors of characters, positions and segment alike in size, so that two thirds of a random
    token vector say nothing of the character. Begun small, they leave the characters to decide, and the untrained
    encoder is near the overlap of characters instead of far below it.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    bert = BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.width,
            max_position_embeddings=config.max_tokens,
            pad_token_id=words.pad_token_id,
        )
    )
    with torch.no_grad():
        bert.embeddings.position_embeddings.weight.mul_(TYPE_AND_POSITION)
        bert.embeddings.token_type_embeddings.weight.mul_(TYPE_AND_POSITION)
    with tempfile.TemporaryDirectory() as plain, without_bars():
        bert.save_pretrained(plain)
        words.save_pretrained(plain)
        transformer = Transformer(plain, max_seq_length=config.max_tokens)
    pooling = Pooling(config.width, "mean")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device=device)


def _copies(texts: list[str], times: int, dropped: float, rng: np.random.Generator) -> list[str]:
    """Each text `times` times, every copy without a share of its characters, but never without all."""
    found = []
    for text in texts * times:
        keep = rng.random(len(text)) >= dropped
        short = "".join(character for character, kept in zip(text, keep, strict=True) if kept)
        found.append(short if short.strip() else text)
    return found


def _pretrain(model: Any, texts: list[str], config: CharacterConfig, seed: int) -> None:
    """Bring two copies of a text together and those of others apart (SimCSE, with characters dropped)."""
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from flipkd.teacher.trainer import train_on

    rng = np.random.default_rng(seed)
    text_a, text_b = (_copies(texts, config.epochs, config.dropped, rng) for _ in range(2))
    train_on(
        model,
        "bi",
        Dataset.from_dict({"text_a": text_a, "text_b": text_b}),
        MultipleNegativesRankingLoss(model),
        epochs=1,  # every pass has copies of its own, so they are all in the data
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        seed=seed,
        description=f"Character encoder, {len(texts)} texts",
    )
