"""`flipkd index search`: queries in, entries with their probabilities out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipkd.cli.index import SearchOptions, open_index, require
from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.retrieval.results import Found

HEADER = ("query", "rank", "id", "question", "answer", "similarity", "logit", "probability", "match")


@dataclass
class Options(SearchOptions):
    """Search an index. A query whose best entry is no match by the threshold policy gets no answer."""

    query: str = field(default="", metadata={"any_text": True})
    """One query."""
    queries: str | None = None
    """Or a text file of queries, one a line."""
    encoding: str | None = None
    """That file's encoding, where it is not found by itself."""
    top: int = 5
    """Entries of a query that are shown."""
    output: str | None = None
    """A file to write: .csv, a row an entry (one without an id where nothing was found), or .jsonl, an object a query.
    By default a table goes to standard output. A decision (accept, review, reject) is shown where the policy has
    bands."""


def run(options: Options) -> None:
    """Search, and show or write what was found."""
    from flipkd.console import announce
    from flipkd.data.reader import read_texts
    from flipkd.evaluation.decisions import REVIEW
    from flipkd.retrieval.rates import announce_rate

    require(options, "model", "index")
    if bool(options.query) == bool(options.queries):
        raise FlipkdError("Give --query TEXT or --queries FILE.")
    output = None if options.output is None else Path(options.output)
    if output is not None and output.suffix not in (".csv", ".jsonl"):
        raise FlipkdError(f"--output {output} must end in .csv or .jsonl, the formats that are written.")
    queries = [options.query]
    if options.queries is not None:
        queries = read_texts(options.queries, encoding=options.encoding)
    with open_index(options, options.index, policy=options.policy, prior=options.prior) as index:
        announce_rate(index, prior=options.prior, candidates=options.candidates)
        found = index.search_many(
            queries, top=options.top, first_stage=options.first_stage, candidates=options.candidates
        )
        threshold, bands = index.matcher.answer.threshold, index.matcher.bands
    if output is None:
        _show(found, bands=bands is not None)
    else:
        _write(found, output, bands=bands is not None)
        announce("written", output, f"{len(found)} queries")
    answered = sum(each.answer is not None for each in found)
    announce("answered", f"{answered} of {len(found)} queries", f"a match has a probability >= {threshold:.3f}")
    if bands:
        unsure = sum(each.hits[0].decision == REVIEW for each in found if each.hits)
        announce("for review", f"{unsure} of {len(found)} queries", f"by their best entry, the policy {bands.policy}")


def _show(found: "Sequence[Found]", *, bands: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from flipkd.shown import in_terminal

    for each in found:
        verdict = "no answer" if each.answer is None else f"answered by {each.answer.entry.id}"
        named = ("id", "question", "similarity", "probability", "match", *(["decision"] if bands else []))
        table = Table(*named, title=in_terminal(f"{each.query}: {verdict}"))
        for hit in each.hits:
            figures = (f"{hit.similarity:.3f}", f"{hit.probability:.3f}", "yes" if hit.match else "no")
            decided = [hit.decision] if bands else []
            table.add_row(in_terminal(hit.entry.id), in_terminal(hit.entry.question), *figures, *decided)
        Console(emoji=False).print(table)


def _write(found: "Sequence[Found]", output: Path, *, bands: bool) -> None:
    """The file appears when it is whole."""
    from flipkd.data.delimited import written_csv
    from flipkd.files import write_whole

    if output.suffix == ".csv":
        with written_csv(output) as writer:
            writer.writerow([*HEADER, *(["decision"] if bands else [])])
            writer.writerows(row for each in found for row in _rows(each, bands=bands))
    else:
        write_whole(output, "".join(json.dumps(_plain(each), ensure_ascii=False) + "\n" for each in found))


def _rows(found: "Found", *, bands: bool) -> Iterator[list[Any]]:
    if not found.hits:
        yield [found.query, *[""] * (len(HEADER) - 2), 0, *([""] if bands else [])]
    for rank, hit in enumerate(found.hits, start=1):
        figures = ["" if isnan(value) else repr(value) for value in (hit.similarity, hit.logit, hit.probability)]
        decided = [hit.decision] if bands else []
        entry = (hit.entry.id, hit.entry.question, hit.entry.answer)
        yield [found.query, rank, *entry, *figures, int(hit.match), *decided]


def _plain(found: "Found") -> dict[str, Any]:
    hits = [asdict(hit) | {"logit": None if isnan(hit.logit) else hit.logit} for hit in found.hits]
    answer = None if found.answer is None else found.answer.entry.id
    return {"query": found.query, "answer": answer, "hits": hits}
