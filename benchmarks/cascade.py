"""Claim: with `--cascade` pairs are answered 3 times as fast, while about 0.5 % of the decisions change.

Ours: `Matcher.match_arrays(cascade=True)` as `flipkd match --cascade` calls it, chunk by chunk, the vectors of
earlier chunks kept. Beside it the same artefact without the cascade; the peers have none.

It needs a trained student: `make demo` makes the default one. Its answer is fitted anew on the demo's validation pairs
as decoder + encoder, whichever the run had chosen, and so is the band. A repetition is one chunk, so that each pair is
answered once by either side; the first chunk warms both up and is not counted.

Samples: with --data the test pairs of banking77 as they come (9,111 pairs of 3,080 queries), else the demo's training
pairs, whose texts seldom come again. The share of changed decisions, F1 of both, and the curve of other bands on the
demo's test pairs are kept with the result.

A repetition being a chunk, --repetitions is not read; FLOPs are those of the first chunk, with no vector kept yet. The
20,000 pairs that were asked for would take an hour; the more pairs, the more often texts come again.

Run: python -m benchmarks.cascade [--model runs/demo] [--data FOLDER] [--chunks 7] [--chunk-rows 1000]
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Side, arguments, clocked, judge, measure
from benchmarks.result import ROOT, write
from benchmarks.samples import demo_pairs, present, research_pairs
from flipkd.console import announce
from flipkd.data.table import PairTable
from flipkd.evaluation.answer import Answer, fit_answer
from flipkd.evaluation.cascade import fit_band
from flipkd.evaluation.cascade_curve import speed_curve
from flipkd.matching.matcher import Matcher
from flipkd.matching.results import MatchArrays
from flipkd.matching.vectors import VectorCache
from flipkd.student.inference import read_signals


def fitted(folder: Path, cache_dir: Path) -> tuple[Matcher, list[dict[str, Any]]]:
    """The artefact with an answer of decoder and encoder and its band, and the curve of other bands."""
    matcher = Matcher.from_pretrained(folder, device="cpu", cache_dir=cache_dir)
    tables = {split: demo_pairs(split=split) for split in ("validation", "test")}
    read = {}
    for split, table in tables.items():
        signals = read_signals(matcher.student, table, progress=split)
        read[split] = {"decoder": signals.log_odds, "encoder": signals.similarity}
    label = {split: table.require_labels() for split, table in tables.items()}
    answer: Answer = fit_answer(read["validation"], label["validation"], [("decoder", "encoder")], seed=0)
    band, reason = fit_band(answer, read["validation"], label["validation"], seed=0)
    announce("band", "none" if band is None else f"{band.skipped:.1%} skip", reason)
    if band is None:
        raise SystemExit(1)
    curve = speed_curve(answer, read["validation"], label["validation"], read["test"], label["test"], seed=0)
    fields = {"answer": answer.as_dict(), "cascade": band.as_dict(), "symmetric": False}
    spec = matcher.spec.model_copy(update=fields)
    return Matcher(matcher.student, spec, None), [asdict(point) for point in curve]


def answering(matcher: Matcher, chunks: list[PairTable], kept: list[MatchArrays], **options: Any) -> Callable[[], None]:
    """Work that answers the next chunk each time it is called."""
    left = iter(chunks)

    def work() -> None:
        table = next(left)
        kept.append(matcher.match_arrays(table.text_a, table.text_b, **options))

    return work


def main() -> None:
    """Measure one artefact."""
    from sklearn.metrics import f1_score

    parser = arguments(__doc__, model="runs/demo", chunks=7, chunk_rows=1000)
    options = parser.parse_args()
    if not (ROOT / options.model / "flipkd.json").is_file():
        announce("cascade", "left out", f"there is no finished run in {options.model}; `make demo` makes one")
        return
    matcher, curve = fitted(ROOT / options.model, options.cache_dir)
    whole = options.data is not None and present(options.data, "banking77", "cascade")
    pairs = research_pairs(options.data, "banking77") if whole else demo_pairs()
    rows = np.arange(min(len(pairs), options.chunks * options.chunk_rows))
    chunks = [pairs.select(part) for part in np.array_split(rows, options.chunks)]
    by_cascade: list[MatchArrays] = []
    in_full: list[MatchArrays] = []
    cascade = answering(matcher, chunks, by_cascade, cascade=True, known=VectorCache())
    ours = Side("with --cascade", clocked(cascade))
    peer = Side("without", clocked(answering(matcher, chunks, in_full)))
    timing = measure([ours, peer], options.chunks - 1)
    match, full = (np.concatenate([chunk.match for chunk in found]) for found in (by_cascade, in_full))
    label = pairs.select(rows).require_labels()
    skipped = sum(found.skipped for found in by_cascade) / len(rows)
    changed = float((match != full).mean())
    result = judge(
        f"cascade/{matcher.spec.base_model}/{'banking77' if whole else 'demo'}", timing, ours, peer,
        work=options.chunk_rows, unit="pairs", target=3.0, skipped=skipped, changed=changed,
        f1=float(f1_score(label, match)), f1_in_full=float(f1_score(label, full)), curve=curve,
        note=f"{len(rows)} pairs, {len(pairs.select(rows).texts())} distinct texts, so that later chunks bring fewer "
        f"new ones; the answer fitted anew as decoder + encoder; {skipped:.1%} skip the decoder, "
        f"{changed:.2%} of decisions change, F1 {f1_score(label, match):.4f} against {f1_score(label, full):.4f}.",
    )  # fmt: skip
    write([result], options.output)


if __name__ == "__main__":
    main()
