"""Claim: one query against many candidates costs a fraction of what a CrossEncoder asks for.

Ours: `Matcher.rank`. Target 1.8 at 50 candidates of `ths_faq` (short questions, the query as text a: its prefix is
computed once), with gemma3-270m; 3 at 50 entries of `stackfaq` (question and answer as text a: their keys and values
are kept from before, which is not timed, as the entries stay while queries come).

Peer: sentence-transformers' `CrossEncoder` over the same LLM with the adapter merged in, our prompt and label words,
the same texts in the same order: `rank` where the query is text a, `predict` where the entry is. Its best setting
here: float32, and the batch size that is fastest of 8, 16, 32 and 64 on one query, tried before.

How far our log-odds are from those of `match_arrays` on the same pairs, and the memory of an entry, are kept with the
result.

Run: python -m benchmarks.rank --data FOLDER [--queries 2] [--candidates 50]
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.artefact import make_matcher, merged_base, source
from benchmarks.harness import Side, arguments, best_setting, clocked, compare
from benchmarks.peers import reranker
from benchmarks.result import Result, write
from benchmarks.samples import cut, present, records, token_lengths
from flipkd.matching.matcher import Matcher
from flipkd.matching.ranking import Entries


@dataclass(frozen=True)
class Sample:
    """Queries against one list of candidates.

    Attributes:
        name: Of the data set.
        student: The LLM.
        queries: The queries.
        candidates: What each is compared with.
        entries: Whether the candidates are text a, and kept.
        cap: Tokens of a text at most.
        target: The ratio that is promised.
    """

    name: str
    student: str
    queries: list[str]
    candidates: list[str]
    entries: bool
    cap: int
    target: float


def ths_faq(data: Path, queries: int, candidates: int) -> Sample:
    """User questions against standard questions of a brokerage."""
    asked = list(dict.fromkeys(row["text_a"] for row in records(data / "ths_faq" / "test.jsonl.gz")))[:queries]
    standard = [row["text"] for row in records(data / "ths_faq" / "standard_questions.jsonl.gz")][:candidates]
    return Sample("ths_faq", "gemma3-270m", asked, standard, entries=False, cap=128, target=1.8)


def stackfaq(data: Path, queries: int, candidates: int) -> Sample:
    """Rephrased questions against whole entries, question and answer."""
    asked = [row["text"] for row in records(data / "stackfaq" / "queries.jsonl.gz")][:queries]
    rows = records(data / "stackfaq" / "faq.jsonl.gz")[:candidates]
    entries = [f"{row['question']}\n{row['answer']}" for row in rows]
    return Sample("stackfaq", "smollm2-135m", asked, entries, entries=True, cap=256, target=3.0)


def claim(sample: Sample, cache_dir: Path, repetitions: int) -> Result:
    """One sample beside the peer."""
    matcher = make_matcher(sample.student, cache_dir, max_text_tokens=sample.cap)
    student = matcher.student
    queries = cut(student.tokenizer, sample.queries, sample.cap - 8)
    candidates = cut(student.tokenizer, sample.candidates, sample.cap - 8)
    weights = merged_base(sample.student, cache_dir).state_dict()
    model = reranker(source(sample.student, cache_dir), weights, student.template, student.tokenizer)

    known = matcher.entries(candidates) if sample.entries else candidates

    def peer_query(query: str, size: int) -> object:
        if sample.entries:
            return model.predict([(entry, query) for entry in candidates], batch_size=size)
        return model.rank(query, candidates, batch_size=size)

    def each(answer: Callable[[str], object]) -> Callable[[], float]:
        return clocked(lambda: [answer(query) for query in queries])

    size, chosen = best_setting((2, 4, 8, 16, 32, 64), lambda size: peer_query(queries[0], size), what="batch size")
    ours = Side(
        "Matcher.rank", each(lambda query: matcher.rank(query, known)), student.model.get_input_embeddings(),
        student.tokenizer.pad_token_id,
    )  # fmt: skip
    peer = Side(
        "CrossEncoder.predict" if sample.entries else "CrossEncoder.rank", each(lambda query: peer_query(query, size)),
        model[0].model.get_input_embeddings(), model[0].tokenizer.pad_token_id,
        f"sentence-transformers CrossEncoder, LogitScore of our label words, sorted by length, {chosen}, float32",
    )  # fmt: skip
    difference = _difference(matcher, queries[0], candidates, known)
    tokens = float(token_lengths(student.tokenizer, candidates).mean())
    note = (
        f"{len(queries)} queries against {len(candidates)} candidates, of {tokens:.0f} tokens on average; log-odds "
        f"within {difference:.1e} of match_arrays"
    )
    detail = {"largest_difference": difference}
    if isinstance(known, Entries):
        assert known.prefixes is not None, "these entries are long, so their keys are kept"
        detail["bytes_per_entry"] = tokens * known.prefixes.bytes_per_token
        detail["entries_kept"] = known.prefixes.kept
        note += f"; {known.prefixes.kept} entries kept, {detail['bytes_per_entry'] / 1e6:.2f} MB each on average"
    return compare(
        f"rank/{sample.student}/{sample.name}", ours, peer, repetitions=repetitions,
        work=len(queries) * len(candidates), unit="candidates", target=sample.target, note=f"{note}.", **detail,
    )  # fmt: skip


def _difference(matcher: Matcher, query: str, candidates: list[str], known: list[str] | Entries) -> float:
    """The largest difference in log-odds from the same pairs answered as pairs."""
    repeated = [query] * len(candidates)
    first = isinstance(known, Entries) and known.entry_first
    pairs = matcher.match_arrays(candidates, repeated) if first else matcher.match_arrays(repeated, candidates)
    return max(abs(found.logit - float(pairs.logit[found.index])) for found in matcher.rank(query, known))


def main() -> None:
    """Measure both samples where the data is there."""
    parser = arguments(__doc__, queries=2, candidates=50)
    options = parser.parse_args()
    for name, make in (("ths_faq", ths_faq), ("stackfaq", stackfaq)):
        if present(options.data, name, f"rank on {name}"):
            sample = make(options.data, options.queries, options.candidates)
            write([claim(sample, options.cache_dir, options.repetitions)], options.output)


if __name__ == "__main__":
    main()
