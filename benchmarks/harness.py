"""Two or more ways to do the same work, timed side by side.

Each side runs once uncounted, which warms it up and counts its FLOPs and tokens; then the sides take turns, so
that whatever else the machine does meanwhile hits all of them alike, and ratios are taken turn by turn.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.result import RESULTS, Result, make_result
from flipkd.console import console

Shape = tuple[int, ...]


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (width + value[3])


def _attention_backward_flops(_grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    # The scores once more, then a product each for the gradients of value, weights, query and key.
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (3 * width + 2 * value[3])


def _int8_flops(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


_UNCOUNTED = {
    torch.ops.aten._int_mm: _int8_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}
"""torch itself counts neither the FLOPs of its CPU attention kernels nor those of int8."""


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    Attributes:
        name: What it is called in the results.
        run: Does the work once and returns the seconds it took, set-up excluded.
        embedding: The token embedding of its model: the ids that pass it are the tokens computed. `None` where
            tokens don't tell the sides apart.
        pad_id: The id that is padding.
        setting: The setting it was given, and why.
    """

    name: str
    run: Callable[[], float]
    embedding: nn.Module | None = None
    pad_id: int | None = None
    setting: str = ""


@dataclass(frozen=True)
class Count:
    """What one run of a side computes, whatever the machine.

    Attributes:
        flops: Of matrix products and attention, forward and backward.
        tokens: That passed the embedding, padding included.
        padding: The padding among them.
    """

    flops: int
    tokens: int | None
    padding: int | None


@dataclass(frozen=True)
class Timing:
    """The sides' seconds, repetition by repetition, and their counts."""

    seconds: dict[str, list[float]]
    counts: dict[str, Count]


def clocked(work: Callable[[], object]) -> Callable[[], float]:
    """The work with a clock around it."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


@contextmanager
def _tokens(side: Side) -> Iterator[list[int]]:
    found = [0, 0]

    def count(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found[0] += args[0].numel()
        found[1] += 0 if side.pad_id is None else int((args[0] == side.pad_id).sum())

    if side.embedding is None:
        yield found
        return
    handle = side.embedding.register_forward_pre_hook(count)
    try:
        yield found
    finally:
        handle.remove()


def count(side: Side) -> Count:
    """Run a side once, counting."""
    with _tokens(side) as tokens, FlopCounterMode(display=False, custom_mapping=_UNCOUNTED) as flops:
        side.run()
    known = side.embedding is not None
    return Count(flops.get_total_flops(), tokens[0] if known else None, tokens[1] if known else None)


def measure(sides: Sequence[Side], repetitions: int) -> Timing:
    """Count each side once, then time them in turns.

    Args:
        sides: At least two, of distinct names.
        repetitions: Turns.
    """
    counts = {}
    for side in sides:
        console.print(f"[dim]{side.name}: warm-up, counting[/dim]")
        counts[side.name] = count(side)
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(repetitions):
        for side in sides:
            seconds[side.name].append(side.run())
        shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
        console.print(f"[dim]repetition {turn + 1}: {shown}[/dim]")
    return Timing(seconds, counts)


def judge(
    name: str, timing: Timing, ours: Side, peer: Side, *, work: float, unit: str, target: float, note: str = "",
    seed: int = 0, **detail: Any,
) -> Result:  # fmt: skip
    """The result of two of the sides.

    Args:
        name: Of the result.
        timing: From `measure`.
        ours: Our side.
        peer: The side it is compared with.
        work: Units that one run of either side does.
        unit: What they are, such as ``pairs``.
        target: The ratio that is promised.
        note: What a reader should know of the sample.
        seed: Of everything random.
        detail: Further numbers to keep.
    """
    seconds = {"ours": timing.seconds[ours.name], "peer": timing.seconds[peer.name]}
    ratios = [theirs / own for own, theirs in zip(seconds["ours"], seconds["peer"], strict=True)]
    found: dict[str, Any] = {"work": work, "unit": unit, "repetitions": len(ratios), "note": note} | detail
    found |= {"ours": ours.name, "peer": peer.name, "ours_setting": ours.setting, "peer_setting": peer.setting}
    for key, side in (("ours", ours), ("peer", peer)):
        median = statistics.median(seconds[key])
        counted = timing.counts[side.name]
        found |= {
            f"{key}_seconds": [round(value, 4) for value in seconds[key]],
            f"{key}_median_seconds": round(median, 4),
            f"{key}_shown": f"{work / median:,.1f} {unit}/s",
            f"{key}_flops": counted.flops,
            f"{key}_tokens": counted.tokens,
            f"{key}_padding": counted.padding,
        }
    return make_result(name, (statistics.median(ratios), min(ratios), max(ratios)), target, found, seed=seed)


def compare(name: str, ours: Side, peer: Side, *, repetitions: int, **options: Any) -> Result:
    """`measure` and `judge` for two sides; the options are those of `judge`."""
    return judge(name, measure([ours, peer], repetitions), ours, peer, **options)


def best_setting(values: Sequence[int], run: Callable[[int], object], *, what: str) -> tuple[int, str]:
    """The value with which a peer is fastest here, each tried once after one warm-up.

    Args:
        values: To choose from.
        run: Does a part of the work with a value.
        what: What is chosen, for the words.

    Returns:
        The value, and how it was chosen.
    """
    run(values[0])
    seconds = {value: clocked(lambda value=value: run(value))() for value in values}  # type: ignore[misc]
    best = min(seconds, key=lambda value: seconds[value])
    tried = ", ".join(f"{value}: {taken:.2f} s" for value, taken in seconds.items())
    return best, f"{what} {best}, the fastest of {{{tried}}}"


def arguments(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The options that all claims share.

    Args:
        doc: The module's docstring, which becomes the help.
        defaults: Defaults other than the usual ones, and further integer options of the claim.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="turns, after one warm-up")
    parser.add_argument(
        "--data", type=Path, help="folder of the research data sets; without it their rows are left out"
    )
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/flipkd").expanduser())
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result files")
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser
