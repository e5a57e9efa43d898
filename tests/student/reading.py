"""What the tests of the student share: students of every architecture, and what their own forward gives."""

import torch

from flipkd.student.packing import pack
from flipkd.student.view import layers_name
from tiny import texts

ARCHITECTURES = ("llama", "gemma3", "gpt_neox")
ENDS = [(0, 1), (0, 2), (3, 4), (5, 0), (0, 1)]


def encoded(made, count=7):
    return made.template.encode_texts(made.tokenizer, texts(count))


def run(made, ends=ENDS, ids=None, vectors="all"):
    with torch.no_grad():
        return made(pack(made.template, encoded(made) if ids is None else ids, ends, vectors))


def own_log_odds(made, ends=ENDS):
    """By the model's own forward, one prompt at a time."""
    ids, (no, yes) = encoded(made), made.template.label_ids
    with torch.no_grad():
        prompts = [torch.tensor([made.template.pair(ids[a], ids[b])]) for a, b in ends]
        logits = [made.model(input_ids=prompt).logits[0, -1] for prompt in prompts]
    return torch.stack([row[yes] - row[no] for row in logits])


def own_vectors(made):
    """By the model's own forward over P t, one text at a time."""
    decoder = made.model.get_base_model().get_decoder()
    layers = getattr(decoder, layers_name(decoder))
    found = []
    for ids in encoded(made):
        captured = []
        modules = [layers[int(site.split(".")[0])].get_submodule(site.split(".", 1)[1]) for site in made.sites]
        keep = lambda _module, _args, out, captured=captured: captured.append(out)  # noqa: E731
        hooks = [module.lora_A["default"].register_forward_hook(keep) for module in modules]
        with torch.no_grad():
            made.model(input_ids=torch.tensor([(*made.template.prefix, *ids)]))
        for hook in hooks:
            hook.remove()
        mean = torch.cat(captured, dim=-1)[0, len(made.template.prefix) :].mean(dim=0)
        found.append(mean / mean.norm())
    return torch.stack(found)
