"""The settings of `flipkd reproduce`."""

from dataclasses import dataclass, field

from flipkd.errors import FlipkdError
from flipkd.experiments.sets import PAIR_SETS


@dataclass
class ReproduceConfig:
    """Run the experiments behind the tables of results/, cell by cell, and write the report."""

    data: str = field(default="", metadata={"first_word": True})
    """The folder with the public data sets, one folder a set (docs/how-to/reproduce.md)."""
    only: list[str] = field(default_factory=lambda: list(PAIR_SETS))
    """Run these sets alone."""
    seeds: int = 3
    """Run the seeds 0, 1, ... up to this many."""
    results: str = "results"
    """Cells, predictions, report and pictures go there; cells that are there already are not run again."""
    work: str = "runs/reproduce"
    """Unfinished work, and what cells share; may be deleted when all is done."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Teacher vectors and converted students are kept here."""
    report_only: bool = False
    """Run nothing: write the report from the cells that are there."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.only) - set(PAIR_SETS))
        if unknown:
            raise FlipkdError(f"There is no set {', '.join(unknown)}; --only takes {', '.join(PAIR_SETS)}.")
        if not self.data and not self.report_only:
            raise FlipkdError("Name the folder with the data sets: flipkd reproduce FOLDER.")
        if self.seeds < 1:
            raise FlipkdError("--seeds must be at least 1.")
