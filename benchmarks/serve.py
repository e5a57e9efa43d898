"""Claim: at 64 connections the server answers 1.5 times as many pairs a second in batches as one by one.

Ours: `flipkd serve` as it comes. Peer: the same server with `--batch-tokens 1`, which computes each pair alone. Each
request to /score holds one pair, a user's question against a standard question of `ths_faq` (with --data; the demo's
pairs without), no pair twice. Clients and server share the machine's cores, each in a process of its own.

Kept with the result for 1, 8 and 64 connections, batched and not: pairs a second, and the 50th, 95th and 99th
percentile of the latency. No request may fail.

Run: python -m benchmarks.serve [--data FOLDER] [--student smollm2-135m | toy] [--requests 256]
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.artefact import make_student, write_artefact, write_toy
from benchmarks.harness import arguments
from benchmarks.load import Load, drive, serving
from benchmarks.result import make_result, write
from benchmarks.samples import demo_pairs, present, research_pairs
from flipkd.console import console

CONNECTIONS = (1, 8, 64)
WARM_UP = 8
"""Requests to each server before any is timed."""
SIDES: dict[str, tuple[str, ...]] = {"batched": (), "one by one": ("--batch-tokens", "1")}


def requests(data: Path | None, count: int) -> list[dict[str, Any]]:
    """Bodies of one pair each, no pair twice."""
    known = present(data, "ths_faq", "ths_faq")
    pairs = research_pairs(data, "ths_faq") if known and data is not None else demo_pairs(split="test")
    distinct = list(dict.fromkeys(zip(pairs.text_a, pairs.text_b, strict=True)))
    if len(distinct) < count:
        raise SystemExit(f"there are {len(distinct)} distinct pairs; ask for no more with --requests")
    return [{"text_1": a, "text_2": b} for a, b in distinct[:count]]


def figures(load: Load) -> dict[str, float]:
    """Throughput and latency, in milliseconds."""
    p50, p95, p99 = (1000 * np.percentile(load.seconds, [50, 95, 99])).round(2).tolist()
    return {"pairs_per_second": round(len(load.seconds) / load.wall, 2), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def measure(folder: Path, bodies: list[dict[str, Any]], repetitions: int) -> dict[tuple[str, int], list[Load]]:
    """The loads of each side at each number of connections, turn by turn, after a few that warm up."""
    found: dict[tuple[str, int], list[Load]] = {}
    with serving(folder) as batched, serving(folder, *SIDES["one by one"]) as alone:
        ports = {"batched": batched, "one by one": alone}
        for port in ports.values():
            drive(port, "/score", bodies[:WARM_UP], 1)
        for _ in range(repetitions):
            for connections in CONNECTIONS:
                for side, port in ports.items():
                    load = drive(port, "/score", bodies, connections)
                    assert load.statuses == {200: len(bodies)}, load.statuses
                    found.setdefault((side, connections), []).append(load)
                    console.print(f"[dim]{side}, {connections} connections: {figures(load)}[/dim]")
    return found


def main() -> None:
    """Measure and write the result."""
    options = arguments(__doc__, student="smollm2-135m", requests=256).parse_args()
    bodies = requests(options.data, options.requests)
    with TemporaryDirectory() as place:
        folder = Path(place)
        if options.student == "toy":
            artefact = write_toy(folder, "decoder")
        else:
            artefact = folder / "artefact"
            student = make_student(options.student, options.cache_dir, drawn=True)
            write_artefact(student, options.student, artefact)
        loads = measure(artefact, bodies, options.repetitions)
    most = CONNECTIONS[-1]
    pairs = zip(loads["batched", most], loads["one by one", most], strict=True)
    ratios = [alone.wall / batched.wall for batched, alone in pairs]
    shown = {
        f"{side}, {n} connections": [figures(load) for load in loads[side, n]] for side in SIDES for n in CONNECTIONS
    }
    detail = {
        "ours_shown": f"{shown[f'batched, {most} connections'][-1]['pairs_per_second']} pairs/s",
        "peer_shown": f"{shown[f'one by one, {most} connections'][-1]['pairs_per_second']} pairs/s",
        "peer_setting": "the same server with --batch-tokens 1",
        "note": f"{len(bodies)} requests of one pair over {most} connections, server and clients on {os.cpu_count()} "
        "cores. By side and connections: "
        + "; ".join(
            f"{name}: {last['pairs_per_second']} pairs/s, p50 {last['p50_ms']}, p95 {last['p95_ms']}, "
            f"p99 {last['p99_ms']} ms"
            for name, (*_, last) in shown.items()
        ),
        "loads": shown,
    }
    name = f"serve/{options.student}/{most}"
    write(
        [make_result(name, (float(np.median(ratios)), min(ratios), max(ratios)), 1.5, detail)],
        options.output,
    )


if __name__ == "__main__":
    main()
