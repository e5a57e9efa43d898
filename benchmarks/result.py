"""What a claim came to, and the two files it is written to.

`results/benchmarks.json` is a list of results, one a name: a claim that is run again replaces its own rows.
`results/benchmarks.md` is made from it and shows losses beside wins.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flipkd.console import console

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
_LIBRARIES = ("torch", "transformers", "peft", "trl", "sentence-transformers", "accelerate", "numpy")


@dataclass(frozen=True)
class Result:
    """One claim, measured.

    A ratio of 1.3 means that we take 1 / 1.3 of the peer's time; where a limit stands in the peer's place, in
    seconds or megabytes, it is limit over measurement. Either way larger is better and the claim holds from the
    target on.
    """

    name: str
    """Claim, model and sample, such as ``encode/smollm2-135m/banking77``."""
    ratio: float
    """The median of the ratios of repetition pairs."""
    low: float
    """The smallest of them."""
    high: float
    """The largest of them."""
    target: float
    """What issue and documentation promise."""
    device: str
    """Processor, cores, and threads that torch used."""
    versions: dict[str, str]
    """Of Python, flipkd, the peer and what both stand on."""
    command: str
    """What was run."""
    seed: int
    """Of everything random in it."""
    commit: str
    """Of the repository, with ``+`` where it was changed since."""
    detail: dict[str, Any]
    """Medians in seconds, FLOPs, tokens, the peer and its setting: whatever stands behind the ratio."""

    @property
    def met(self) -> bool:
        """Whether the claim holds."""
        return self.ratio >= self.target


def make_result(
    name: str, ratios: tuple[float, float, float], target: float, detail: dict[str, Any], *, seed: int = 0
) -> Result:
    """A result of this process on this machine.

    Args:
        name: See `Result`.
        ratios: Median, smallest and largest.
        target: See `Result`.
        detail: See `Result`.
        seed: See `Result`.
    """
    ratio, low, high = (round(value, 4) for value in ratios)
    return Result(name, ratio, low, high, target, device(), _versions(), _command(), seed, _commit(), detail)


@cache
def device() -> str:
    """Processor, cores and threads."""
    import os

    import torch

    from flipkd.device import processor_name

    return f"{processor_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"


@cache
def _versions() -> dict[str, str]:
    from flipkd import __version__

    found = {"python": platform.python_version(), "flipkd": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _command() -> str:
    """The command, without the folders of this machine."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1)]
    for place, word in enumerate(words[1:], 1):
        if Path(word).is_absolute():
            words[place] = words[place - 1].lstrip("-").replace("-", "_").upper()
    return " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *words])


@cache
def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks")
    return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")


def write(results: Iterable[Result], folder: Path = RESULTS) -> None:
    """Merge results by name into the JSON file, and make the table anew."""
    results = list(results)
    for result in results:
        verdict = "met" if result.met else "[red]not met[/red]"
        console.print(
            f"[bold]{result.name}[/bold]: {result.ratio:.2f} ({result.low:.2f} to {result.high:.2f}), "
            f"target {result.target:.2f}: {verdict}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "benchmarks.json"
    stored: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    rows = {row["name"]: row for row in stored} | {result.name: asdict(result) for result in results}
    ordered = [rows[name] for name in sorted(rows)]
    file.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(_table(ordered), encoding="utf-8")


def _table(rows: list[dict[str, Any]]) -> str:
    met = sum(row["ratio"] >= row["target"] for row in rows)
    lines = [
        "# Benchmarks",
        "",
        "Made by `make benchmark` from `benchmarks.json`; don't edit. A ratio is the peer's time over ours on the same",
        "model, pairs and lengths (or a limit over what was measured): the median of interleaved repetitions, with",
        f"the smallest and largest. FLOPs and tokens are counted, ours / the peer's. {met} of {len(rows)} targets met.",
        "",
        "| claim | ratio | range | target | met | ours | peer | GFLOP | tokens computed | of which padding |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        detail = row["detail"]
        cells = [
            row["name"],
            f"{row['ratio']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            f"{row['target']:.2f}",
            "yes" if row["ratio"] >= row["target"] else "**no**",
            _measured(detail, "ours"),
            _measured(detail, "peer"),
            *(_both(detail, key, scale) for key, scale in (("flops", 1e9), ("tokens", 1), ("padding", 1))),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## How each was measured", ""]
    for row in rows:
        detail = row["detail"]
        lines += [
            f"- **{row['name']}**: `{row['command']}`, seed {row['seed']}, commit {row['commit']}, {row['device']}."
        ]
        lines += [f"  {words}" for words in (detail.get("peer_setting"), detail.get("note")) if words]
    shown = {json.dumps(row["versions"], sort_keys=True): row["versions"] for row in rows}
    lines += ["", "## Versions", ""]
    lines += ["- " + ", ".join(f"{name} {number}" for name, number in versions.items()) for versions in shown.values()]
    return "\n".join(lines) + "\n"


def _measured(detail: dict[str, Any], side: str) -> str:
    return str(detail[f"{side}_shown"]) if f"{side}_shown" in detail else ""


def _both(detail: dict[str, Any], key: str, scale: float) -> str:
    ours, peer = detail.get(f"ours_{key}"), detail.get(f"peer_{key}")
    if ours is None or peer is None:
        return ""
    return f"{ours / scale:,.0f} / {peer / scale:,.0f}"
