"""Claim: a million pairs stream through `flipkd match` in flat memory and at a flat cost; a text is encoded once.

There is no peer: limits stand in its place, and each ratio is limit over measurement.

- Memory: resident memory of a process that does what `flipkd match` does, sampled while it does; the slope over the
  last 90 % of the rows, by least squares, against 1 MB per 100,000 rows. A slope below a hundredth of that counts as
  one.
- Cost: seconds per pair of each tenth of the long run, against those of its first tenth without the first hundredth
  (10,000 rows of a million); the median of the nine. Target 0.95: at most 5 % dearer. Runs over 10,000 rows alone,
  before and after, are kept beside it: they are short, and what loading takes has to be subtracted from them.
- Teacher: texts that the packaged MiniLM encodes for pairs that repeat theirs, against the distinct ones.

A toy student of two small layers stands in for the LLM, so that what is measured is all the rest.

Run: python -m benchmarks.scale [--rows 1000000]; fewer rows are taken, and it is said, where a million would take
more than --minutes.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.artefact import SEED, TOY_WORDS, write_toy
from benchmarks.harness import arguments
from benchmarks.result import Result, make_result, write
from flipkd.console import announce
from flipkd.teacher.teacher import Teacher

SHORT = 10_000
LIMIT_MB = 1.0
"""Per 100,000 rows."""
INTERVAL = 0.1
BATCH_TOKENS = 8192
"""Eight times the default, which is meant for layers that are wider than the toy's."""
CHILD = """
import sys, time
from flipkd.cli.match import Options, run
from flipkd.matching.matcher import Matcher
model, tokens = sys.argv[1], int(sys.argv[2])
Matcher.from_pretrained(model, device="cpu")
for line in sys.stdin:
    pairs = line.strip()
    start = time.perf_counter()
    Matcher.from_pretrained(model, device="cpu")
    loaded = time.perf_counter()
    run(Options(model=model, pairs=pairs, output=f"{pairs}.answers.csv", device="cpu", batch_tokens=tokens))
    print(time.perf_counter() - loaded - (loaded - start), flush=True)
"""
"""Answers the files it is told, and says how long each took beyond loading."""


class Child:
    """The process that answers files of pairs."""

    def __init__(self, artefact: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(artefact), str(BATCH_TOKENS)], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.resident = psutil.Process(self.process.pid)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def answer(self, pairs: Path, rows: int) -> tuple[float, np.ndarray]:
        """Answer a file.

        Returns:
            Seconds a pair; and sampled meanwhile, (n, 3) seconds, rows written and resident memory in MB.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        samples: list[tuple[float, int, float]] = []
        done = threading.Event()

        def sample() -> None:
            while not done.wait(INTERVAL):
                written = sum(file.stat().st_size for file in pairs.parent.glob(f"{pairs.name}.answers*"))
                samples.append((time.perf_counter(), written, self.resident.memory_info().rss / 1e6))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            self.process.stdin.write(f"{pairs}\n")
            self.process.stdin.flush()
            taken = self.process.stdout.readline()
        finally:
            done.set()
            sampler.join()
        if not taken:
            raise RuntimeError(f"the process ended while it answered {pairs}")
        found = np.array(samples, dtype=np.float64).reshape(-1, 3)
        found[:, 1] *= rows / Path(f"{pairs}.answers.csv").stat().st_size
        return float(taken) / rows, found


def write_pairs(file: Path, rows: int) -> None:
    """A CSV file of pairs, nearly all distinct, written a part at a time."""
    rng = np.random.default_rng(SEED)
    words = np.array(TOY_WORDS)
    with file.open("w", encoding="utf-8") as handle:
        handle.write("text_a,text_b\n")
        for start in range(0, rows, SHORT):
            drawn = words[rng.integers(0, len(words), (min(SHORT, rows - start), 8))]
            handle.writelines(" ".join(row[:4]) + "," + " ".join(row[4:]) + "\n" for row in drawn)


def stream(folder: Path, source: str, rows: int, minutes: float, repetitions: int) -> list[Result]:
    """Memory and cost of a long run in which the decoder or the encoder answers."""
    small, large = folder / "small.csv", folder / "large.csv"
    write_pairs(small, SHORT)
    half = (repetitions + 1) // 2
    with Child(write_toy(folder, source)) as child:
        child.answer(small, SHORT)
        costs = [child.answer(small, SHORT)[0] for _ in range(half)]
        affordable = max(SHORT, int(60 * minutes / statistics.median(costs) // SHORT * SHORT))
        if affordable < rows:
            announce("rows", affordable, f"{rows} would take more than {minutes:g} minutes; raise --minutes")
            rows = affordable
        write_pairs(large, rows)
        cost, samples = child.answer(large, rows)
        costs += [child.answer(small, SHORT)[0] for _ in range(repetitions - half)]
    seconds, written, memory = samples.T
    late = written >= 0.1 * rows
    measured = float(np.polyfit(written[late] / 1e5, memory[late], 1)[0])
    slope = max(measured, LIMIT_MB / 100)
    marks = np.array([0.01, *np.arange(1, 11) / 10]) * rows
    tenths = np.diff(np.interp(marks, written, seconds)) / np.diff(marks)
    ratios = (tenths[0] / tenths[1:]).tolist()
    shared = {
        "rows": rows, "toy_pairs_per_second": round(1 / cost, 1), "peak_mb": round(float(memory.max()), 1),
        "slope_mb_per_100000_rows": round(measured, 4), "note": f"{rows:,} rows, a toy student, the {source} answers.",
        "peer_setting": "No peer: a limit.",
    }  # fmt: skip
    memory_shown = {"ours_shown": f"{measured:.2f} MB per 100,000 rows", "peer_shown": f"limit {LIMIT_MB:g} MB"}
    cost_shown = {
        "ours_shown": f"{1e6 * cost:.1f} us a pair at {rows:,} rows",
        "peer_shown": f"{1e6 * tenths[0]:.1f} us in the first tenth",
        "tenths_us": [round(1e6 * tenth, 1) for tenth in tenths],
        "short_runs_us": [round(1e6 * short, 1) for short in costs],
    }
    return [
        make_result(f"scale/{source}/memory", (LIMIT_MB / slope,) * 3, 1.0, shared | memory_shown, seed=SEED),
        make_result(
            f"scale/{source}/cost-per-pair", (statistics.median(ratios), min(ratios), max(ratios)), 0.95,
            shared | cost_shown, seed=SEED,
        ),
    ]  # fmt: skip


def encoding(distinct: int = 50, pairs: int = 1000) -> Result:
    """Texts that a teacher encodes for pairs that repeat theirs."""
    rng = np.random.default_rng(SEED)
    texts = [" ".join(rng.choice(TOY_WORDS, 4)) for _ in range(distinct)]
    teacher = Teacher.load("minilm", device="cpu", cache=False)
    encode, encoded = teacher.model.encode, 0

    def counting(batch: list[str], **options: object) -> object:
        nonlocal encoded
        encoded += len(batch)
        return encode(batch, **options)

    teacher.model.encode = counting
    a, b = ([texts[row] for row in rng.integers(0, distinct, pairs)] for _ in range(2))
    teacher.similarity(a, b)
    present = len({*a, *b})
    detail = {
        "ours_shown": f"{encoded} texts encoded", "peer_shown": f"{present} distinct of {2 * pairs}",
        "peer_setting": "No peer: the distinct texts.",
    }  # fmt: skip
    return make_result("scale/teacher-encodes-once", (present / encoded,) * 3, 1.0, detail, seed=SEED)


def main() -> None:
    """Measure all three."""
    options = arguments(__doc__, rows=1_000_000, minutes=8.0).parse_args()
    for source in ("decoder", "encoder"):
        with tempfile.TemporaryDirectory() as folder:
            found = stream(Path(folder), source, options.rows, options.minutes, options.repetitions)
        write(found, options.output)
    write([encoding()], options.output)


if __name__ == "__main__":
    main()
