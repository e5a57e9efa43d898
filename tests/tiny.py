"""Tiny students, built in memory: three architectures, three tokenizer families, no network."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.cohere import CohereConfig
from transformers.models.deepseek_v3 import DeepseekV3Config
from transformers.models.gemma2 import Gemma2Config
from transformers.models.gemma3 import Gemma3TextConfig
from transformers.models.gpt2 import GPT2Config
from transformers.models.gpt_neox import GPTNeoXConfig
from transformers.models.granite import GraniteConfig
from transformers.models.lfm2 import Lfm2Config
from transformers.models.llama import LlamaConfig
from transformers.models.minimax import MiniMaxConfig
from transformers.models.nemotron import NemotronConfig

from flipkd.data.table import PairTable
from flipkd.student.adapter import add_adapter
from flipkd.student.template import Template

WORDS = (
    "how do i reset my pin card account open close money send receive transfer top up fee refund lost stolen new "
    "what is the cost of a yes no same text mean answer query and"
).split()
PROMPT = "text : {a} \n text : {b} \n same ? answer :"


def corpus():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 12)) for _ in range(300)] + [PROMPT, " yes no", "\n", "? ! , . : 你好 怎么 办理"]


def tokenizer(family="bpe"):
    specials = ["<unk>", "<s>", "</s>", "<pad>"]
    if family == "bpe":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    elif family == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        made.decoder = decoders.Metaspace(prepend_scheme="never")
        trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token="<unk>")
    else:
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials)
    made.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 4}


def config(architecture, vocabulary):
    shared = SIZES | {"vocab_size": vocabulary, "max_position_embeddings": 256, "pad_token_id": 3, "bos_token_id": 1}
    if architecture == "llama":
        return LlamaConfig(**shared, num_key_value_heads=2)
    if architecture == "gemma3":
        return Gemma3TextConfig(
            **shared, num_key_value_heads=1, head_dim=8, sliding_window=8, final_logit_softcapping=5.0,
            layer_types=["sliding_attention", "full_attention"] * 2,
        )  # fmt: skip
    if architecture == "granite":
        return GraniteConfig(
            **shared, num_key_value_heads=2, embedding_multiplier=3.0, residual_multiplier=0.5, logits_scaling=8.0
        )
    if architecture == "gpt2":
        return GPT2Config(
            vocab_size=vocabulary, n_embd=32, n_inner=48, n_head=4, n_layer=4, n_positions=256, bos_token_id=1,
        )  # fmt: skip
    if architecture == "gemma2":
        return Gemma2Config(
            **shared, num_key_value_heads=2, head_dim=8, sliding_window=8, attn_logit_softcapping=2.0,
            final_logit_softcapping=5.0, attn_implementation="eager",
        )  # fmt: skip
    if architecture == "cohere":
        return CohereConfig(**shared, num_key_value_heads=2, eos_token_id=2)
    if architecture == "deepseek":
        return DeepseekV3Config(
            **shared, num_key_value_heads=4, q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4,
            v_head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, moe_intermediate_size=16,
            first_k_dense_replace=1,
        )  # fmt: skip
    if architecture == "lfm2":
        layer_types = ["conv", "full_attention"] * 2
        return Lfm2Config(**shared, num_key_value_heads=2, layer_types=layer_types, block_auto_adjust_ff_dim=False)
    if architecture == "minimax":
        return MiniMaxConfig(
            **shared, num_key_value_heads=2, head_dim=8, num_local_experts=4, num_experts_per_tok=2,
            layer_types=["linear_attention", "full_attention"] * 2,
        )  # fmt: skip
    if architecture == "nemotron":
        return NemotronConfig(**shared, num_key_value_heads=2, eos_token_id=2)
    return GPTNeoXConfig(**shared)


def base_model(architecture="llama", family="bpe", seed=0):
    words = tokenizer(family)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(architecture, len(words))).float().eval()
    # Sharper than the usual start, so that a mistake in masks or positions shows in the answer.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6.0)
    return model, words


def label_words(words):
    candidates = [" no", " yes", "no", "yes", *WORDS]
    return [word for word in candidates if len(words(word, add_special_tokens=False).input_ids) == 1][:2]


def student(
    architecture="llama", family="bpe", *, adapt_layers=2, trained=False, pooling="mean", seed=0, site_layer=None,
    site_modules=None, **template,
):  # fmt: skip
    model, words = base_model(architecture, family)
    made = Template.build(words, prompt=PROMPT, label_words=label_words(words), **({"max_text_tokens": 40} | template))
    found = add_adapter(
        model, words, made, adapt_layers=adapt_layers, rank=4, alpha=8, site_layer=site_layer,
        site_modules=site_modules, pooling=pooling, seed=seed,
    )  # fmt: skip
    if trained:
        torch.manual_seed(1)
        for name, parameter in found.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return found


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        text = " ".join(rng.choice(WORDS, rng.integers(2, 9)))
        if text not in found:
            found.append(text)
    return found


def pairs(count, seed=0):
    """Pairs of distinct texts; a match repeats the first word."""
    rng = np.random.default_rng(seed)
    left, right = texts(count, seed), texts(count, seed + 100)
    label = rng.permutation(np.arange(count) % 2)
    right = [a.split()[0] + " " + b if y else b for a, b, y in zip(left, right, label, strict=True)]
    return PairTable(left, right, label.astype(np.int64), "toy", list(range(2, count + 2)), {})


def save_student(folder, architecture="llama"):
    """A base model on disk, as a user's own would be."""
    model, words = base_model(architecture)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def save_teacher(folder, seed=0):
    """A tiny bi-encoder on disk: BERT of two layers, mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    words = tokenizer("wordpiece")
    words.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>"})
    torch.manual_seed(seed)
    bert = BertModel(
        BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=64, pad_token_id=3,
        )
    )  # fmt: skip
    plain = folder / "plain"
    bert.save_pretrained(plain)
    words.save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=32)
    made = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    made.save(str(folder / "teacher"))
    return str(folder / "teacher")


def write_csv(table, file):
    import csv

    with open(file, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text_a", "text_b", "label"])
        writer.writerows(zip(table.text_a, table.text_b, table.label.tolist(), strict=True))
    return str(file)
