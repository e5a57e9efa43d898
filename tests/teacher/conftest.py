"""Tiny teachers with random weights, built and saved in the test's folder: no network."""

import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from flipkd.data.table import PairTable

WORDS = "how do i reset my pin card account open close money send fee refund lost stolen new what is the cost".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
MAX_TOKENS = 12


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS, rng.integers(3, 8)))} {seed}{number}" for number in range(count)]


def pair_table(count, seed=0, source="pairs.csv"):
    """Half matches that share their words in another order, half non-matches; no text twice."""
    a = sentences(count, seed)
    b = sentences(count, seed + 1)
    label = np.arange(count) % 2
    for row in np.flatnonzero(label):
        b[row] = f"{' '.join(reversed(a[row].split()))} {b[row].split()[-1]}"
    return PairTable(a, b, label.astype(np.int64), source, list(range(2, count + 2)), {})


@pytest.fixture
def make_pairs():
    return pair_table


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def _save_bert(folder, model_class, seed=0, **config):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        sentences(100, 0), trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
    torch.manual_seed(seed)
    bert = model_class(
        BertConfig(
            vocab_size=len(fast),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=64,
            initializer_range=0.5,  # of 0.02, all texts would be alike
            **config,
        )
    )
    bert.save_pretrained(folder)
    fast.save_pretrained(folder)


def _save_bi(plain, folder, seed=0, max_tokens=MAX_TOKENS):
    _save_bert(plain, BertModel, seed)
    transformer = Transformer(str(plain), max_seq_length=max_tokens)
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    made = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    made.save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Both kinds, built once; tests get copies, which they may spoil."""
    folder = tmp_path_factory.mktemp("teachers")
    _save_bert(folder / "plain-cross", BertForSequenceClassification, num_labels=1)
    CrossEncoder(str(folder / "plain-cross"), device="cpu").save_pretrained(
        str(folder / "cross"), create_model_card=False
    )
    return {"bi": _save_bi(folder / "plain-bi", folder / "bi"), "cross": folder / "cross"}


@pytest.fixture
def bi(built, tmp_path):
    return shutil.copytree(built["bi"], tmp_path / "bi")


@pytest.fixture
def cross(built, tmp_path):
    return shutil.copytree(built["cross"], tmp_path / "cross")


@pytest.fixture
def make_bi(tmp_path):
    return lambda name, **options: _save_bi(tmp_path / f"{name}-plain", tmp_path / name, **options)


@pytest.fixture
def make_plain(tmp_path):
    """What transformers alone saves: no files of sentence-transformers."""

    def make(name, model_class, **config):
        _save_bert(tmp_path / name, model_class, **config)
        return tmp_path / name

    return make


@pytest.fixture
def said(monkeypatch):
    """Everything flipkd prints, as one string a call."""
    from flipkd.console import console

    lines = []
    monkeypatch.setattr(console, "print", lambda *shown, **_: lines.append(" ".join(map(str, shown))))
    return lines
