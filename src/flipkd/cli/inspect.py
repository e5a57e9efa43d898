"""`flipkd inspect`: what the student is really shown."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.matching.artefact import ArtefactSpec
    from flipkd.student.sites import Pooling
    from flipkd.student.template import Template


@dataclass
class Options:
    """Show the prompt of some pairs token by token, and where vectors and the answer are read."""

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
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the file, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Print one block a pair to standard output."""
    from flipkd.data.reader import iter_pairs
    from flipkd.matching.artefact import ArtefactSpec
    from flipkd.matching.loading import own_tokenizer
    from flipkd.student.loading import load_tokenizer
    from flipkd.student.template import Template
    from flipkd.training.config import FlipConfig

    if not options.pairs:
        raise FlipkdError("--pairs is missing.")
    if options.rows < 1:
        raise FlipkdError(f"--rows must be at least 1; it is {options.rows}.")
    cache = Path(options.cache_dir).expanduser()
    if options.model is None:
        tokenizer = load_tokenizer(options.student, cache_dir=cache)
        template, pooling, notes = Template.build(tokenizer), FlipConfig.pooling, []
    else:
        model = Path(options.model).expanduser()
        spec = ArtefactSpec.read(model)
        tokenizer = own_tokenizer(model, spec) or load_tokenizer(spec.base_model, cache_dir=cache)
        template, pooling = spec.stored_template(), spec.pooling
        template.check_tokenizer(tokenizer)
        notes = _notes(spec)
    table = next(
        iter_pairs(
            options.pairs,
            columns=options.columns,
            encoding=options.encoding,
            delimiter=options.delimiter,
            empty=options.empty,
            chunk_rows=options.rows,
        )
    )
    places = [f"{table.source}, line {line}" for line in table.line]
    blocks = describe(tokenizer, template, table.text_a, table.text_b, places, pooling)
    sys.stdout.write("\n\n".join([*blocks, *notes]) + "\n")


def _notes(spec: "ArtefactSpec") -> list[str]:
    """What of a run the prompts alone do not show."""
    notes = []
    if "decoder" not in spec.answer["sources"]:
        notes.append("This run answers by its vectors alone: the decoder is not asked.")
    elif spec.symmetric:
        notes.append("This run asks both orders and averages their log-odds; shown is the order as given.")
    return notes


def describe(
    tokenizer: Any,
    template: "Template",
    text_a: Sequence[str],
    text_b: Sequence[str],
    places: Sequence[str],
    pooling: "Pooling",
) -> list[str]:
    """The prompt of each pair, token by token, as the student reads it.

    Args:
        tokenizer: The student's tokenizer.
        template: The template.
        text_a: The first text of each pair.
        text_b: The second.
        places: Where each pair stands.
        pooling: Which of its tokens a text's vector is read from.

    Returns:
        One block of lines a pair.
    """
    encoded = template.encode_texts(tokenizer, [*text_a, *text_b])
    words = zip(template.label_words, template.label_ids, strict=True)
    label = ", ".join(f"{word!r} = {token}" for word, token in words)
    blocks = []
    for place, a, b in zip(places, encoded[: len(text_a)], encoded[len(text_a) :], strict=True):
        parts = {"P": template.prefix, "a": a, "Q": template.middle, "b": b, "R": template.suffix}
        tokens = [(name, token) for name, ids in parts.items() for token in ids]
        lines = [place, f"tokens: a {len(a)}, b {len(b)}, prompt {len(tokens)}"]
        last_of_a = len(template.prefix) + len(a) - 1
        for position, (part, token) in enumerate(tokens):
            read = part == "a" and (pooling == "mean" or position == last_of_a)
            note = "  in a's vector" if read else ""
            note += "  <- the answer is read here" if position == len(tokens) - 1 else ""
            lines.append(f"  {position:4d}  {part}  {token:7d}  {tokenizer.decode([token])!r:24s}{note}")
        blocks.append("\n".join([*lines, f"  label words: {label}; log-odds = logit of the second - of the first"]))
    return blocks
