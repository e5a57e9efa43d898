"""Claim: int8 weights answer pairs 1.7 times as fast on a CPU, at an AUC loss under 0.003.

Ours: `Matcher.from_pretrained(folder, int8=True)`. Beside it the same artefact in float32; no peer of its own, since
the peers of `match_pairs` are float32 as well.

What loses nothing cannot be told from a student that was not trained, so this needs a finished run: `make demo` makes
the default one. The AUC of decoder and encoder, in float32 and in int8, is measured on all labelled pairs of --pairs
and kept with the result. Timed is `Reader.signals` (decoder and vectors) on groups of like length.

Run: python -m benchmarks.int8 [--model runs/demo] [--pairs demo/banking77/test.csv] [--groups 4]
"""

from benchmarks.harness import Side, arguments, clocked, compare
from benchmarks.result import ROOT, make_result, write
from benchmarks.samples import like_batches
from flipkd.console import announce
from flipkd.data.reader import read_pairs
from flipkd.data.table import PairTable
from flipkd.matching.matcher import Matcher
from flipkd.student.inference import read_signals

ALLOWED_LOSS = 0.003
LEAST_LOSS = 3e-5
"""A loss below a hundredth of the allowed one, or a gain, counts as this."""


def aucs(matcher: Matcher, table: PairTable) -> dict[str, float]:
    """ROC AUC of decoder and encoder."""
    from sklearn.metrics import roc_auc_score

    signals = read_signals(matcher.student, table)
    columns = {"decoder": signals.log_odds, "encoder": signals.similarity}
    return {name: float(roc_auc_score(table.require_labels(), column)) for name, column in columns.items()}


def main() -> None:
    """Measure one artefact."""
    parser = arguments(__doc__, model="runs/demo", pairs=str(ROOT / "demo" / "banking77" / "test.csv"), groups=4)
    options = parser.parse_args()
    if not (ROOT / options.model / "flipkd.json").is_file():
        announce("int8", "left out", f"there is no finished run in {options.model}; `make demo` makes one")
        return
    table = read_pairs(options.pairs)
    sides = {
        name: Matcher.from_pretrained(
            ROOT / options.model, device="cpu", cache_dir=options.cache_dir, int8=name == "int8"
        )
        for name in ("int8", "float32")
    }
    found = {name: aucs(matcher, table) for name, matcher in sides.items()}
    loss = {signal: found["float32"][signal] - found["int8"][signal] for signal in ("decoder", "encoder")}
    some = like_batches(sides["float32"].student.tokenizer, table, options.groups)
    ours, peer = (Side(n, clocked(lambda m=m: read_signals(m.student, some))) for n, m in sides.items())  # type: ignore[misc]
    lost = ", ".join(f"{signal} {value:+.4f}" for signal, value in loss.items())
    result = compare(
        f"int8/{sides['int8'].spec.base_model}", ours, peer, repetitions=options.repetitions, work=len(some),
        unit="pairs", target=1.7, auc=found, auc_loss=loss,
        note=f"AUC lost on {len(table)} test pairs: {lost} (promised: under .003).",
    )  # fmt: skip
    largest = max(*loss.values(), LEAST_LOSS)
    shown = {"ours_shown": f"AUC lost: {lost}", "peer_shown": f"limit {ALLOWED_LOSS:g}", "auc": found}
    kept = make_result(
        f"int8/{sides['int8'].spec.base_model}/auc", (ALLOWED_LOSS / largest,) * 3, 1.0,
        shown | {"note": f"The larger of both losses on {len(table)} pairs.", "peer_setting": "No peer: a limit."},
    )  # fmt: skip
    write([result, kept], options.output)


if __name__ == "__main__":
    main()
