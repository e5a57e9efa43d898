"""`flipkd inspect`: what the student is really shown."""

import sys
from dataclasses import dataclass
from pathlib import Path

from flipkd.errors import FlipkdError


@dataclass
class Options:
    """Show the token ids, the mask and the place where the answer is read, for some pairs."""

    pairs: str = ""
    """A file of pairs."""
    model: str | None = None
    """A finished run, whose stored template is shown."""
    student: str = "smollm2-135m"
    """Without --model: the student whose tokenizer makes the template."""
    rows: int = 3
    """How many pairs, from the top of the file."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Print one block a pair to standard output."""
    from flipkd.data.reader import iter_pairs
    from flipkd.matching.artefact import ArtefactSpec
    from flipkd.student.loading import load_tokenizer
    from flipkd.student.template import Template

    if not options.pairs:
        raise FlipkdError("--pairs is missing.")
    cache = Path(options.cache_dir).expanduser()
    if options.model is None:
        tokenizer = load_tokenizer(options.student, cache_dir=cache)
        template = Template.build(tokenizer)
    else:
        spec = ArtefactSpec.read(Path(options.model))
        tokenizer = load_tokenizer(spec.base_model, cache_dir=cache)
        template = Template.from_dict(spec.template)
        template.check_tokenizer(tokenizer)
    table = next(iter_pairs(options.pairs, columns=options.columns, chunk_rows=options.rows))
    for a, b, line in zip(table.text_a, table.text_b, table.line, strict=True):
        sys.stdout.write(describe(tokenizer, template, a, b, f"{table.source}, line {line}") + "\n\n")


def describe(tokenizer: object, template: object, text_a: str, text_b: str, where: str) -> str:
    """One pair's prompt, token by token.

    Args:
        tokenizer: The student's tokenizer.
        template: The template, a `flipkd.student.template.Template`.
        text_a: The first text.
        text_b: The second.
        where: Where the pair stands.
    """
    from flipkd.student.template import Template

    assert isinstance(template, Template)
    a, b = template.encode_texts(tokenizer, [text_a, text_b])
    prompt = template.pair(a, b)
    b_start = prompt.stop + len(template.middle)
    lines = [
        where,
        f"{len(prompt.ids)} tokens: a {len(a)}, b {len(b)}, template {len(prompt.ids) - len(a) - len(b)}",
    ]
    for position, token in enumerate(prompt.ids):
        part = "template"
        if prompt.start <= position < prompt.stop:
            part = "a (in its vector)"
        elif b_start <= position < b_start + len(b):
            part = "b (in its vector, from a pass of its own)"
        shown = repr(tokenizer.decode([token]))  # type: ignore[attr-defined]
        read = "  <- the answer is read here" if position == len(prompt.ids) - 1 else ""
        lines.append(f"  {position:4d}  {token:7d}  mask 1  {shown:24s}  {part}{read}")
    words = ", ".join(
        f"{word!r} = {token}" for word, token in zip(template.label_words, template.label_ids, strict=True)
    )
    lines.append(f"  label words: {words}; log-odds = logit of the second - logit of the first")
    return "\n".join(lines)
