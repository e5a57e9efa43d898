"""How well an index answers the queries of a public FAQ, and how often it rightly refuses: no speed, and no peer.

The entries that answer a quarter of the queries are left out of the index, so that these should be refused. What is
refused is counted for the artefact's own threshold and for those of `POLICIES`, all chosen on its validation pairs. The
artefact is one that was trained on the set's training queries, as `flipkd reproduce --only SET` leaves it in its work
folder. It is measured beside BM25 alone and its teacher alone (the kept one, or --teacher), over at most --queries test
queries. The sets are those of retrieval, and `ths_faq`, whose entries are its standard questions and whose queries are
the first texts of its test pairs.

Each run adds a line to results/faq.jsonl, of which results/faq.md is made; a later one of the same set counts.

Run: python -m benchmarks.faq --data FOLDER --set NAME --model ARTEFACT [--teacher FOLDER] [--queries 200]
"""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.special import expit, logit

from benchmarks.harness import arguments
from benchmarks.samples import records
from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.evaluation.calibrators import prior_shift
from flipkd.experiments.cells import commit, versions
from flipkd.experiments.retrieval_sets import RETRIEVAL_SETS, read_collection
from flipkd.experiments.sections import table
from flipkd.matching.artefact import ArtefactSpec, artefact_hash
from flipkd.matching.matcher import Matcher
from flipkd.matching.validation import ValidationRecord, decide_again
from flipkd.retrieval.baselines import baseline_teacher
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.evaluate import evaluate
from flipkd.retrieval.index import FaqIndex
from flipkd.retrieval.judged import Judged

LEFT_OUT = 0.25
"""Share of the queries, at least, that lose all entries that answer them."""
FIGURES = {"success@1": "success1", "MRR@10": "mrr10", "NDCG@10": "ndcg10"}
"""As the table names them, and as `Order` does."""
PRIOR = 0.05
"""One match among the twenty candidates that are verified; validation pairs have far more."""
COUNTS = ("entries", "answerable", "unanswerable")
SHARES = ("threshold", "rightly_refused", "wrongly_refused", "right_answers")
POLICIES = (("f1", PRIOR), ("precision=0.95", None), ("precision=0.99", None), ("precision=0.95", PRIOR))
"""Threshold policies beside the artefact's own, and the prior they are kept at, by default validation's."""


def read_set(name: str, data: Path, most: int) -> tuple[list[Entry], Judged]:
    """The entries, and at most `most` test queries, always the same ones."""
    if name in RETRIEVAL_SETS:
        collection = read_collection(RETRIEVAL_SETS[name], data)
        asked = collection.queries["test"].sample(most)
        grades = [
            {collection.ids[column]: int(row[column]) for column in np.flatnonzero(row).tolist()}
            for row in asked.grades
        ]
        entries = [Entry(entry, text) for entry, text in zip(collection.ids, collection.texts, strict=True)]
        return entries, Judged(asked.texts, grades)
    entries = [Entry(row["id"], row["text"]) for row in records(data / name / "standard_questions.jsonl.gz")]
    return entries, judged_pairs(records(data / name / "test.jsonl.gz"), entries, most)


def judged_pairs(pairs: list[dict[str, Any]], entries: list[Entry], most: int) -> Judged:
    """Queries from labelled pairs of a query and an entry's text: those that match an entry."""
    ids = {entry.question: entry.id for entry in entries}
    found: dict[str, dict[str, int]] = {}
    for pair in pairs:
        if pair["label"] == 1:
            found.setdefault(pair["text_a"], {})[ids[pair["text_b"]]] = 1
    texts = list(found)
    chosen = [texts[row] for row in np.sort(np.random.default_rng(0).permutation(len(texts))[:most])]
    return Judged(chosen, [found[text] for text in chosen])


def kept(entries: list[Entry], judged: Judged) -> list[Entry]:
    """The entries that are in the index, always the same ones."""
    gone: set[str] = set()
    for row in np.random.default_rng(0).permutation(len(judged.texts)):
        if sum(grades.keys() <= gone for grades in judged.grades) >= LEFT_OUT * len(judged.texts):
            break
        gone |= judged.grades[row].keys()
    return [entry for entry in entries if entry.id not in gone]


def thresholds(artefact: Path) -> dict[str, float]:
    """From which probability each of `POLICIES` accepts; without those that can't be kept on validation.

    A prior moves all log-odds, which changes no order: its threshold is moved back, to the artefact's own probability.
    """
    spec = ArtefactSpec.read(artefact)
    record, found = ValidationRecord.read(artefact, spec), {}
    for policy, prior in POLICIES:
        try:
            threshold = decide_again(spec, record, policy=policy, prior=prior).answer["threshold"]
        except FlipkdError as error:
            announce(policy, "left out", str(error))
            continue
        if prior is not None:
            # A threshold beyond all probabilities stays there.
            threshold = float(
                expit(logit(min(max(threshold, 0.0), 1.0)) - prior_shift(spec.answer["match_rate"], prior))
            )
        found[policy if prior is None else f"{policy}, prior {prior:g}"] = threshold
    return found


def report(lines: list[dict[str, Any]]) -> str:
    """The Markdown of all lines, the last of each set."""
    last = {line["set"]: line for line in lines}
    orders = [
        [name, order, *(f"{line[order][figure]:.3f}" for figure in FIGURES.values())]
        for name, line in last.items()
        for order in ("bm25", "teacher", "first_stage", "verified")
        if line[order] is not None
    ]
    refusals = [
        [name, each["policy"], *(f"{each[share]:.3f}" for share in SHARES)]
        for name, line in last.items()
        for each in line["refusals"]
    ]
    counts = [[name, *(str(line[count]) for count in COUNTS)] for name, line in last.items()]
    return (
        "# What a FAQ index answers\n\nMade by `python -m benchmarks.faq` from `faq.jsonl`; don't edit. Public sets, "
        f"test queries, one training each (seed 0). All entries that answer {LEFT_OUT:.0%} of the queries are left out "
        "of the index: these should be refused.\n\n" + table(["set", *COUNTS], counts) + "\n\n"
        "Orders as `flipkd index evaluate` names them, over the answerable queries:\n\n"
        + table(["set", "order", *FIGURES], orders)
        + "\n\n"
        "What is refused, the artefact's own policy first. All thresholds are chosen on its validation pairs, some for "
        f"a match rate of {PRIOR:g}, which is that of {round(1 / PRIOR)} candidates:\n\n"
        + table(["set", "policy", *(share.replace("_", " ") for share in SHARES)], refusals)
        + "\n"
    )


def main() -> None:
    """Measure one set and write the result."""
    parser = arguments(__doc__, queries=200)
    parser.add_argument("--set", required=True, choices=[*RETRIEVAL_SETS, "ths_faq"])
    parser.add_argument("--model", required=True, help="the artefact")
    parser.add_argument("--teacher", help="by default the one that the artefact holds")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is missing: the folder of the data sets")
    entries, judged = read_set(options.set, options.data, options.queries)
    held = kept(entries, judged)
    matcher = Matcher.from_pretrained(options.model, cache_dir=options.cache_dir)
    teacher = baseline_teacher(matcher, options.teacher, cache_dir=options.cache_dir)
    with TemporaryDirectory() as place, FaqIndex.build(matcher, held, Path(place) / "index") as index:
        found = evaluate(index, judged, teacher=teacher, policies=thresholds(Path(options.model)))
    line = {"set": options.set, "entries": len(held), "queries": len(judged.texts), **asdict(found)}
    line |= {"artefact": artefact_hash(Path(options.model)), "commit": commit(), "versions": versions()}
    with (options.output / "faq.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")
    written = (options.output / "faq.jsonl").read_text(encoding="utf-8").splitlines()
    (options.output / "faq.md").write_text(report([json.loads(each) for each in written]), encoding="utf-8")


if __name__ == "__main__":
    main()
