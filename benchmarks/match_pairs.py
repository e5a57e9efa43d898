"""Claim: pairs are answered 1.3 times as fast as by sentence-transformers' CrossEncoder over the same LLM.

Ours: `Matcher.match_many`, the decoder's answer.

Peer: `CrossEncoder` of the same LLM with the adapter merged in, rendering our prompt and reading the log-odds of our
two label words (its `LogitScore`). It sorts by length and computes one position's logits: a fair peer. Its best
setting here: float32, and the batch size that is fastest of 8, 16, 32 and 64 on the same pairs, tried before.

Samples: groups of like length, as a large file sorted by length has them, of the demo's pairs, which seldom share a
text; with --data, also of mqp, whose texts are longer, and whole families of banking77, whose queries stand in three
pairs each. How far the answers agree is kept with the result: tokens may
merge where the peer's text and prompt meet, so the log-odds are alike and not the same.

Run: python -m benchmarks.match_pairs [--data FOLDER] [--students smollm2-135m]
"""

from typing import Any

import numpy as np

from benchmarks.artefact import make_matcher, merged_base, source
from benchmarks.harness import Side, arguments, best_setting, clocked, compare
from benchmarks.peers import reranker
from benchmarks.result import Result, write
from benchmarks.samples import demo_pairs, families, like_batches, present, research_pairs
from flipkd.data.table import PairTable
from flipkd.matching.matcher import Matcher


def claim(matcher: Matcher, model: Any, name: str, table: PairTable, repetitions: int) -> Result:
    """One sample.

    Args:
        matcher: Ours.
        model: The peer.
        name: Of the result.
        table: The pairs.
        repetitions: Turns.
    """
    pairs = list(zip(table.text_a, table.text_b, strict=True))

    def predict(size: int) -> Any:
        return model.predict(pairs, batch_size=size)

    size, chosen = best_setting((8, 16, 32, 64), predict, what="batch size")
    probability = predict(size)
    logit = [answer.logit for answer in matcher.match_many(pairs)]
    agreement = float(np.corrcoef(logit, np.log(probability / (1 - probability)))[0, 1])
    student = matcher.student
    ours = Side(
        "Matcher.match_many", clocked(lambda: matcher.match_many(pairs)), student.model.get_input_embeddings(),
        student.tokenizer.pad_token_id,
    )  # fmt: skip
    peer = Side(
        "CrossEncoder.predict", clocked(lambda: predict(size)), model[0].model.get_input_embeddings(),
        model[0].tokenizer.pad_token_id,
        f"sentence-transformers CrossEncoder, LogitScore of our label words, sorted by length, {chosen}, float32",
    )  # fmt: skip
    note = f"{len(pairs)} pairs, {len(table.texts())} distinct texts; log-odds correlate at {agreement:.4f}."
    return compare(
        name, ours, peer, repetitions=repetitions, work=len(pairs), unit="pairs", target=1.3, note=note,
        agreement=agreement,
    )  # fmt: skip


def main() -> None:
    """Measure each student on each sample."""
    parser = arguments(__doc__, students="smollm2-135m", groups=3)
    options = parser.parse_args()
    for name in options.students.split(","):
        matcher = make_matcher(name, options.cache_dir)
        tokenizer = matcher.student.tokenizer
        weights = merged_base(name, options.cache_dir).state_dict()
        model = reranker(source(name, options.cache_dir), weights, matcher.student.template, tokenizer)
        samples = {"demo": like_batches(tokenizer, demo_pairs(split="test"), options.groups)}
        if present(options.data, "banking77", "match_pairs on families"):
            samples["families"] = families(options.data, 32 * options.groups // 3, split="test")
        if present(options.data, "mqp", "match_pairs on mqp"):
            samples["mqp"] = like_batches(tokenizer, research_pairs(options.data, "mqp"), options.groups)
        for sample, table in samples.items():
            place = f"match_pairs/{name}/{sample}"
            write([claim(matcher, model, place, table, options.repetitions)], options.output)


if __name__ == "__main__":
    main()
