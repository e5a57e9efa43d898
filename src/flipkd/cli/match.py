"""`flipkd match`: a file of pairs in, the same rows with their answers out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.matching.results import MatchArrays


FIGURES = ("probability", "similarity", "logit", "match")


@dataclass
class Options:
    """Answer a file of pairs with a finished run. Rows keep their order, and duplicates stay."""

    model: str = ""
    """The artefact: the --output of a finished run."""
    pairs: str = ""
    """A file of pairs; a label column, if any, is passed through."""
    output: str = ""
    """The CSV file to write: the columns read, and probability, similarity, logit, match, and decision where the
    threshold policy has bands. Similarity or logit are empty where the encoder or the decoder was not asked."""
    policy: str | None = None
    """Another threshold policy than the artefact's, kept on its validation pairs: f1, accuracy, precision=P, recall=R,
    cost=A:B (a false match costs A, a missed one B) or bands=P:Q (accept at precision P, reject at precision Q, review
    in between)."""
    prior: float | None = None
    """The share of matches among pairs like these, where it is another than in validation: probabilities and
    thresholds are re-weighted to it."""
    cascade: bool = False
    """Let the encoder alone answer where it is sure, by the artefact's band, and ask the decoder in between: faster,
    and a few decisions change. The artefact's model card says how many."""
    int8: bool = False
    """Round the student's weights to int8, on a CPU: about twice as fast, and answers move a little."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b."""
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the file, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with rows that have an empty text; dropped ones are missing from the output."""
    chunk_rows: int = 2048
    """Rows that are answered together; memory stays the same whatever the file's size."""
    batch_tokens: int = 1024
    """Tokens of a batch."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Stream the pairs through the matcher; the output appears when it is whole."""
    from flipkd.console import announce, progress_bar
    from flipkd.data.delimited import written_csv
    from flipkd.data.reader import iter_pairs
    from flipkd.evaluation.decisions import ACCEPT, REJECT, REVIEW
    from flipkd.files import require_apart
    from flipkd.matching.matcher import Matcher
    from flipkd.matching.vectors import VectorCache

    for name in ("model", "pairs", "output"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")
    output = Path(options.output)
    if output.suffix != ".csv":
        raise FlipkdError(f"--output {output} must end in .csv, the format that is written.")
    require_apart(output, options.pairs)
    matcher = Matcher.from_pretrained(
        options.model,
        device=options.device,
        cache_dir=options.cache_dir,
        int8=options.int8,
        policy=options.policy,
        prior=options.prior,
    )
    bands = matcher.bands
    decided: Counter[str | None] = Counter()
    if options.cascade:
        announce("cascade", "on", matcher.require_band().reason)
    known = VectorCache()
    matches = rows = skipped = 0
    with written_csv(output) as writer, progress_bar() as progress:
        task = progress.add_task("pairs answered", total=None)
        tables = iter_pairs(
            options.pairs,
            columns=options.columns,
            encoding=options.encoding,
            delimiter=options.delimiter,
            empty=options.empty,
            chunk_rows=options.chunk_rows,
        )
        for table in tables:
            if rows == 0:
                writer.writerow(_header(options.pairs, table.extra, bands=bands is not None))
            found = matcher.match_arrays(
                table.text_a,
                table.text_b,
                batch_tokens=options.batch_tokens,
                cascade=options.cascade,
                known=known,
            )
            writer.writerows(zip(table.text_a, table.text_b, *table.extra.values(), *_cells(found), strict=True))
            rows += len(table)
            matches += int(found.match.sum())
            skipped += found.skipped
            decided.update(found.decisions)
            progress.update(task, advance=len(table))
    threshold = matcher.answer.threshold
    announce("written", output, f"{rows} pairs, {matches} matches at probability >= {threshold:.3f}")
    if bands:
        shares = ", ".join(f"{name} {decided[name] / max(rows, 1):.1%}" for name in (ACCEPT, REVIEW, REJECT))
        announce("decisions", shares, f"the policy {bands.policy}")
    if skipped or options.cascade:
        why = "the encoder alone was sure" if options.cascade else "the answer uses the encoder alone"
        announce("decoder", f"skipped for {skipped} of {rows} pairs", f"{skipped / rows:.1%}; {why}")


def _header(pairs: str, extra: Iterable[str], *, bands: bool) -> list[str]:
    """The names of the output's columns, no two the same."""
    made = ["text_a", "text_b", *FIGURES, *(["decision"] if bands else [])]
    if taken := [name for name in extra if name in made]:
        raise FlipkdError(
            f"{pairs} has a column named {', '.join(taken)}, as the output will: one name would stand over two "
            "columns. Rename it in the file (labels are found under the name label, too), or leave it out."
        )
    return [*made[:2], *extra, *made[2:]]


def _cells(found: "MatchArrays") -> Iterator[list[str]]:
    """The columns of a chunk's answers, unrounded, lest two become equal; no log-odds is an empty cell."""
    for column in (found.probability, found.similarity, found.logit):
        yield ["" if isnan(value) else repr(value) for value in column.tolist()]
    yield [str(int(value)) for value in found.match.tolist()]
    if found.decision is not None:
        yield found.decision.tolist()
