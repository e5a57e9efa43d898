"""sentence-transformers over the same LLM: the encoder and the cross-encoder that claims are compared with."""

import json
from typing import Any

from flipkd.student.model import Student
from flipkd.student.sites import site_layer
from flipkd.student.template import Template


def site_depth(student: Student) -> int:
    """Layers that have to run before the vectors can be read."""
    return max(site_layer(site) for site in student.sites) + 1


def embedder(folder: str, *, max_tokens: int, layers: int | None = None) -> Any:
    """A `SentenceTransformer` of an LLM and mean pooling, float32 on the CPU.

    Args:
        folder: The LLM.
        max_tokens: Longer texts are cut there.
        layers: Keep so many of the lowest layers; `None` keeps all.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(
        folder,
        model_kwargs={"dtype": "float32"},
        processor_kwargs={"model_max_length": max_tokens},
        # Texts as they are: with a chat template sentence-transformers would wrap each in a message.
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    )
    if layers is not None:
        transformer.model.layers = transformer.model.layers[:layers]
        transformer.model.config.num_hidden_layers = layers
    width = transformer.model.config.hidden_size
    return SentenceTransformer(modules=[transformer, Pooling(width, pooling_mode="mean")], device="cpu")


def reranker(folder: str, weights: dict[str, Any], template: Template, tokenizer: Any) -> Any:
    """A `CrossEncoder` that reads the log-odds of our label words after our prompt.

    Args:
        folder: The LLM.
        weights: Its weights, with the adapter merged in.
        template: Ours.
        tokenizer: Ours.
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    transformer = Transformer(
        folder,
        transformer_task="text-generation",
        model_kwargs={"dtype": "float32"},
        processor_kwargs={"chat_template": chat_template(template, tokenizer)},
    )
    transformer.model.load_state_dict(weights)
    no, yes = template.label_ids
    return CrossEncoder(modules=[transformer, LogitScore(true_token_id=yes, false_token_id=no)], device="cpu")


def chat_template(template: Template, tokenizer: Any) -> str:
    """Our prompt as the template in which sentence-transformers renders a pair."""
    before, _, rest = template.prompt.partition("{a}")
    between, _, cue = rest.partition("{b}")
    begins = template.prefix[:1] == (tokenizer.bos_token_id,) and tokenizer.bos_token_id is not None
    before = (tokenizer.bos_token if begins else "") + before
    return "".join(
        "{{ " + part + " }}"
        for part in (
            json.dumps(before),
            "(messages | selectattr('role', 'eq', 'query') | first)['content']",
            json.dumps(between),
            "(messages | selectattr('role', 'eq', 'document') | first)['content']",
            json.dumps(cue),
        )
    )
