"""The check at the end of a run: the artefact is read back from disk and must answer as the run did."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from flipkd.console import console
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.student.adapter import adapter_norms
from flipkd.student.inference import EncodedPairs, Reader

CHECK_FILE = Path("evaluation") / "self_check.json"
"""Where an artefact keeps what was found."""
ROWS = 32
"""How many pairs are answered again."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.25, "float16": 0.05}
"""Largest difference of log-odds, or similarities, that reordering of sums explains, by dtype."""


class Check(NamedTuple):
    """One line of the check: what was looked at, what was found, whether it passes."""

    name: str
    found: str
    passed: bool


def check_artefact(matcher: Matcher, pairs: PairTable, log_odds: np.ndarray, similarity: np.ndarray) -> list[Check]:
    """Check a reloaded artefact.

    Args:
        matcher: The artefact, read from disk.
        pairs: Pairs the run has answered.
        log_odds: (n,) the decoder's log-odds that the run found for them, in the order as given.
        similarity: (n,) the encoder's cosines, likewise.
    """
    table = pairs.select(np.arange(min(ROWS, len(pairs))))
    student = matcher.student
    encoded = EncodedPairs.of(student, table.text_a, table.text_b)
    dtype = str(next(student.model.get_base_model().parameters()).dtype).removeprefix("torch.")
    tolerance = TOLERANCE[dtype]
    many = Reader(student).signals(encoded)

    def compare(name: str, ours: np.ndarray, other: np.ndarray) -> Check:
        difference = float(np.abs(ours - other).max())
        return Check(name, f"{difference:.1e}, at most {tolerance:.0e} in {dtype}", difference <= tolerance)

    norms = adapter_norms(student.model)
    trained = sum(norm > 0 for norm in norms.values())
    return [
        compare("log-odds after reload", many.log_odds, log_odds[: len(table)]),
        compare("similarities after reload", many.similarity, similarity[: len(table)]),
        compare("batch of one against many", many.log_odds, Reader(student, batch_tokens=1).log_odds(encoded)),
        Check("adapter norms not zero", f"{trained} of {len(norms)} B matrices", trained == len(norms) > 0),
    ]


def require_passed(checks: list[Check]) -> None:
    """Print the table of checks.

    Raises:
        FlipkdError: If one failed.
    """
    table = Table("check", "found", "", title="Self-check of the artefact, read back from disk", title_justify="left")
    for check in checks:
        table.add_row(check.name, check.found, "[green]pass[/green]" if check.passed else "[red]FAIL[/red]")
    console.print(table)
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise FlipkdError(f"The artefact failed its self-check ({', '.join(failed)}) and was not written.")


def reload_and_check(
    folder: Path,
    pairs: PairTable,
    log_odds: np.ndarray,
    similarity: np.ndarray,
    load: Callable[[Path], Matcher],
) -> list[Check]:
    """Read the artefact in `folder` back and check it; see `check_artefact` and `require_passed`."""
    checks = check_artefact(load(folder), pairs, log_odds, similarity)
    require_passed(checks)
    return checks
