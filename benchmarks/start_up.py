"""Claim: `import flipkd` and `flipkd --help` take under a second, and a packaged student loads in under two.

There is no peer: the limit stands in its place, and the ratio is limit over measurement, so 1.0 is the target. Each
is measured in processes of its own, in turns. Loading is timed inside the process, after torch and transformers are
imported: it is the student from the converted, memory-mapped cache that is claimed, after its first use made it.

Run: python -m benchmarks.start_up [--student smollm2-135m]
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.artefact import source
from benchmarks.harness import arguments
from benchmarks.result import make_result, write

LOAD = """
import sys, time
from pathlib import Path
import transformers.generation.utils, transformers.modeling_utils  # libraries' own imports are not the loading
from flipkd.student.loading import load_student
start = time.perf_counter()
load_student(sys.argv[1], device="cpu", cache_dir=Path(sys.argv[2]))
print(time.perf_counter() - start)
"""


def whole_process(*words: str) -> float:
    """Seconds from the start of a Python process to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def load(student: str, cache_dir: Path) -> float:
    """Seconds of loading a student, by a process of its own."""
    command = [sys.executable, "-c", LOAD, student, str(cache_dir)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure all three."""
    options = arguments(__doc__, student="smollm2-135m").parse_args()
    source(options.student, options.cache_dir)
    claims: dict[str, tuple[Callable[[], float], float]] = {
        "import": (lambda: whole_process("-c", "import flipkd"), 1.0),
        "help": (lambda: whole_process("-m", "flipkd.cli.main", "--help"), 1.0),
        f"load-{options.student}": (lambda: load(options.student, options.cache_dir), 2.0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in claims}
    for turn in range(options.repetitions + 1):
        for name, (run, _) in claims.items():
            taken = run()
            if turn:
                seconds[name].append(taken)
    found = []
    for name, (_, limit) in claims.items():
        median = statistics.median(seconds[name])
        detail = {
            "ours_seconds": [round(value, 4) for value in seconds[name]], "limit_seconds": limit,
            "ours_shown": f"{median:.2f} s", "peer_shown": f"limit {limit:g} s",
            "peer_setting": "No peer: a limit in seconds.",
        }  # fmt: skip
        ratios = (limit / median, limit / max(seconds[name]), limit / min(seconds[name]))
        found.append(make_result(f"start_up/{name}", ratios, 1.0, detail))
    write(found, options.output)


if __name__ == "__main__":
    main()
