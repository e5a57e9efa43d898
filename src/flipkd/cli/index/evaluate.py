"""`flipkd index evaluate`: how well an index answers queries whose right entries are known."""

import json
import sys
from dataclasses import asdict, dataclass

from flipkd.cli.index import SearchOptions, open_index, require


@dataclass
class Options(SearchOptions):
    """Measure success@1, MRR@10, NDCG@10 and refusals of an index.

    The result is JSON on standard output: the order of the first stage alone, that of the answers, and the shares of
    queries that were refused. A figure over no query is null.
    """

    queries: str = ""
    """A table of queries with the columns id and text."""
    qrels: str = ""
    """A table of judgements with the columns query_id, doc_id (the entry) and grade. A query without an entry in the
    index that is judged relevant is one that should get no answer."""
    split: str | None = None
    """Take the queries whose column split says so; by default all."""


def run(options: Options) -> None:
    """Print one object."""
    from flipkd.retrieval.evaluate import evaluate, read_judged

    require(options, "model", "index", "queries", "qrels")
    judged = read_judged(options.queries, options.qrels, split=options.split)
    with open_index(options, options.index, policy=options.policy, prior=options.prior) as index:
        found = evaluate(index, judged, first_stage=options.first_stage, candidates=options.candidates)
    sys.stdout.write(json.dumps(_plain(asdict(found)), indent=2) + "\n")


def _plain(found: dict[str, object]) -> dict[str, object]:
    """Without NaN, which JSON does not know."""
    plain: dict[str, object] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            plain[name] = _plain(value)
        else:
            plain[name] = None if value != value else value
    return plain
