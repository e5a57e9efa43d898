"""Claim: vectors cost no more than from sentence-transformers with the same LLM cut at the layer they are read at.

Ours: `Matcher.encode`, which stops at the A matrices of the last site. Target 1.0 in texts per second.

Peer: `SentenceTransformer.encode` over the same LLM cut to the layers that ours runs, with mean pooling; no LoRA, as
if it had been merged. It sorts by length itself. Its best setting here: float32, and the batch size that is fastest
of 8, 16, 32 and 64 on the same texts, tried before.

Sample: distinct texts of the demo in groups of like length, as a long list sorted by length has them.

Run: python -m benchmarks.encode [--student smollm2-135m] [--groups 4]
"""

from benchmarks.artefact import make_matcher, source
from benchmarks.harness import Side, arguments, best_setting, clocked, compare
from benchmarks.peers import embedder, site_depth
from benchmarks.result import write
from benchmarks.samples import like_texts


def main() -> None:
    """Measure one student."""
    parser = arguments(__doc__, student="smollm2-135m", groups=4)
    options = parser.parse_args()
    matcher = make_matcher(options.student, options.cache_dir)
    student = matcher.student
    texts = like_texts(student.tokenizer, options.groups).texts()
    depth = site_depth(student)
    model = embedder(
        source(options.student, options.cache_dir), max_tokens=student.template.max_text_tokens, layers=depth
    )
    size, chosen = best_setting((8, 16, 32, 64), lambda size: model.encode(texts, batch_size=size), what="batch size")
    ours = Side(
        "Matcher.encode", clocked(lambda: matcher.encode(texts)), student.model.get_input_embeddings(),
        student.tokenizer.pad_token_id,
    )  # fmt: skip
    peer = Side(
        f"SentenceTransformer.encode, cut to {depth} layers", clocked(lambda: model.encode(texts, batch_size=size)),
        model[0].model.get_input_embeddings(), model[0].tokenizer.pad_token_id,
        f"sentence-transformers, mean pooling, sorted by length, {chosen}, float32",
    )  # fmt: skip
    result = compare(
        f"encode/{options.student}", ours, peer, repetitions=options.repetitions, work=len(texts), unit="texts",
        target=1.0, note=f"{len(texts)} distinct texts.",
    )  # fmt: skip
    write([result], options.output)


if __name__ == "__main__":
    main()
