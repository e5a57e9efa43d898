"""Every claim in order, each in a process of its own so that none finds another's memory: `python -m benchmarks`.

Options are handed on; --repetitions, --data, --cache-dir and --output are common to all. A claim that fails is named
at the end, and the exit status is 1; a target that is missed is a result, not a failure.
"""

import subprocess
import sys
import time

from flipkd.console import console

CLAIMS = (
    "start_up",
    "encode",
    "warm_up",
    "frozen_trunk",
    "match_pairs",
    "cascade",
    "int8",
    "rank",
    "serve",
    "training_step",
    "scale",
)


def main() -> int:
    """Run the claims."""
    failed = []
    begun = time.perf_counter()
    for name in CLAIMS:
        console.rule(name)
        start = time.perf_counter()
        command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        console.print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes")
    console.rule(f"{(time.perf_counter() - begun) / 60:.1f} minutes in all")
    if failed:
        console.print(f"[bold red]failed:[/bold red] {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
