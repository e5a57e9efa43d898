"""`flipkd index evaluate`: how well an index answers queries whose right entries are known."""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flipkd.cli.index import SearchOptions, open_index, require


@dataclass
class Options(SearchOptions):
    """Measure success@1, MRR@10, NDCG@10 and refusals of an index.

    The result is JSON on standard output: the orders of BM25 alone, of the teacher alone, of the first stage alone and
    of the answers; and for each threshold policy the shares of queries that were refused, and of answers that were
    right. A figure over no query is null, and so is an order that was not measured.
    """

    queries: str = ""
    """A table of queries with the columns id and text (other names that are known: docs/how-to/faq.md)."""
    qrels: str = ""
    """A table of judgements with the columns query_id, doc_id (the entry) and grade. A query without an entry in the
    index that is judged relevant is one that should get no answer."""
    split: str | None = None
    """Take the queries whose column split says so; by default all."""
    encoding: str | None = None
    """The encoding of both files, where it is not found by itself."""
    delimiter: str | None = None
    """The one character between the cells of both files; by default a comma in a CSV and a tab in a TSV."""
    teacher: str | None = None
    """A teacher to measure alone, by the cosine of its vectors: a folder, a hub id or minilm. By default the one that
    the artefact holds, if any. Its vectors are kept in --cache-dir."""
    policies: list[str] = field(default_factory=list)
    """Further threshold policies whose refusals are counted as well, such as ["precision=0.95", "precision=0.99"]; none
    takes longer for it. Each is kept on the artefact's validation pairs, with --prior as it is."""


def run(options: Options) -> None:
    """Print one object."""
    from flipkd.matching.validation import read_deciding
    from flipkd.retrieval.baselines import baseline_teacher
    from flipkd.retrieval.evaluate import evaluate
    from flipkd.retrieval.judged import read_judged
    from flipkd.retrieval.rates import announce_rate

    require(options, "model", "index", "queries", "qrels")
    judged = read_judged(
        options.queries, options.qrels, split=options.split, encoding=options.encoding, delimiter=options.delimiter
    )
    model = Path(options.model).expanduser()
    deciding = (read_deciding(model, policy=each, prior=options.prior) for each in options.policies)
    policies = {each: spec.answer["threshold"] for each, spec in zip(options.policies, deciding, strict=True)}
    with open_index(options, options.index, policy=options.policy, prior=options.prior) as index:
        announce_rate(index, prior=options.prior, candidates=options.candidates)
        teacher = baseline_teacher(
            index.matcher, options.teacher, device=options.device, cache_dir=Path(options.cache_dir).expanduser()
        )
        found = evaluate(
            index,
            judged,
            first_stage=options.first_stage,
            candidates=options.candidates,
            teacher=teacher,
            policies=policies,
        )
    sys.stdout.write(json.dumps(_plain(asdict(found)), indent=2) + "\n")


def _plain(found: Any) -> Any:
    """Without NaN, which JSON does not know."""
    if isinstance(found, dict):
        return {name: _plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return None if found != found else found
