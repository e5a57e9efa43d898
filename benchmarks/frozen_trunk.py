"""Claim: with LoRA in the top k layers only, epochs after the first run at 0.8 x layers / k of full-depth speed.

There is no peer: both sides are our own flip step, on the same pairs, full depth standing in the peer's place. The
trunk's outputs are kept on disk; the warm-up run fills the cache and is not timed. The pairs are taken as directed,
so that each epoch reads the same sequences (an undirected task reads both orders and comes to this speed as both
are kept).

Run: python -m benchmarks.frozen_trunk [--layers 14] [--student smollm2-135m]
"""

import tempfile
from pathlib import Path

from benchmarks.artefact import make_student
from benchmarks.harness import Side, arguments, compare
from benchmarks.result import Result, write
from benchmarks.samples import demo_pairs, like_batches
from benchmarks.training import joint_epoch
from flipkd.training.config import FlipConfig

SHARE = 0.8


def claim(name: str, layers: int, batches: int, cache_dir: Path, trunk_dir: Path, repetitions: int) -> Result:
    """The frozen trunk beside full depth."""
    whole, top = make_student(name, cache_dir), make_student(name, cache_dir, adapt_layers=layers)
    top.use_trunk_cache(trunk_dir, 2 * 10**9)
    pairs = like_batches(whole.tokenizer, demo_pairs(), batches)
    depth = whole.model.get_base_model().config.num_hidden_layers
    config = FlipConfig(directed=True)
    ours = Side(f"top {layers} layers, trunk read from disk", joint_epoch(top, pairs, config, flip=True))
    peer = Side(f"all {depth} layers", joint_epoch(whole, pairs, config, flip=True))
    # The warm-up of `compare` would count the FLOPs of filling the cache.
    ours.run()
    return compare(
        f"frozen_trunk/{name}/{layers}-of-{depth}", ours, peer, repetitions=repetitions, work=len(pairs), unit="pairs",
        target=SHARE * depth / layers, note=f"{len(pairs)} pairs of the demo, directed; no peer, our own full depth",
    )  # fmt: skip


def main() -> None:
    """Measure one student."""
    parser = arguments(__doc__, student="smollm2-135m", layers=14, batches=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = claim(
            options.student, options.layers, options.batches, options.cache_dir, Path(folder), options.repetitions
        )
        write([result], options.output)


if __name__ == "__main__":
    main()
