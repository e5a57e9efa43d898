"""`flipkd match`: a file of pairs in, the same rows with their answers out."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flipkd.errors import FlipkdError


@dataclass
class Options:
    """Answer a file of pairs with a finished run. Rows keep their order, and duplicates stay."""

    model: str = ""
    """The artefact: the --output of a finished run."""
    pairs: str = ""
    """A file of pairs; a label column, if any, is passed through."""
    output: str = ""
    """The CSV file to write: the columns read, and probability, similarity, logit, match."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b."""
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with rows that have an empty text; dropped ones are missing from the output."""
    chunk_rows: int = 2048
    """Rows that are answered together; memory stays the same whatever the file's size."""
    batch_tokens: int = 1024
    """Padded tokens of a batch."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Stream the pairs through the matcher; the output appears when it is whole."""
    from flipkd.console import announce, progress_bar
    from flipkd.data.reader import iter_pairs
    from flipkd.matching.matcher import Matcher

    for name in ("model", "pairs", "output"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")
    output = Path(options.output)
    if output.suffix != ".csv":
        raise FlipkdError(f"--output {output} must end in .csv, the format that is written.")
    matcher = Matcher.from_pretrained(options.model, device=options.device, cache_dir=options.cache_dir)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial-{os.getpid()}")
    matches = rows = 0
    try:
        with partial.open("w", encoding="utf-8", newline="") as handle, progress_bar() as progress:
            task = progress.add_task("pairs answered", total=None)
            writer = csv.writer(handle, lineterminator="\n")
            tables = iter_pairs(
                options.pairs,
                columns=options.columns,
                encoding=options.encoding,
                empty=options.empty,
                chunk_rows=options.chunk_rows,
            )
            for table in tables:
                if rows == 0:
                    writer.writerow(["text_a", "text_b", *table.extra, "probability", "similarity", "logit", "match"])
                found = matcher.match_arrays(table.text_a, table.text_b, batch_tokens=options.batch_tokens)
                numbers = (
                    f"{p:.6f},{s:.6f},{z:.6f},{int(m)}".split(",")
                    for p, s, z, m in zip(found.probability, found.similarity, found.logit, found.match, strict=True)
                )
                writer.writerows(
                    (*row, *answer)
                    for *row, answer in zip(table.text_a, table.text_b, *table.extra.values(), numbers, strict=True)
                )
                rows += len(table)
                matches += int(found.match.sum())
                progress.update(task, advance=len(table))
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    announce("written", output, f"{rows} pairs, {matches} matches at probability >= {matcher.answer.threshold:.3f}")
