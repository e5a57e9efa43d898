"""The settings of `flipkd reproduce`."""

from dataclasses import dataclass

from flipkd.errors import FlipkdError
from flipkd.experiments.sets import PAIR_SETS


@dataclass
class ReproduceConfig:
    """Run the experiments behind the tables of results/, cell by cell, and write the report."""

    data: str = "data"
    """The folder with the public data sets, one folder a set (docs/how-to/reproduce.md)."""
    only: str = ""
    """Run these sets alone, separated by commas; by default all."""
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
    readme: str | None = None
    """Also put the summary table into this Markdown file, between <!-- results: begin --> and <!-- results: end -->."""
    report_only: bool = False
    """Run nothing: write the report from the cells that are there."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.sets) - set(PAIR_SETS))
        if unknown:
            raise FlipkdError(f"There is no set {', '.join(unknown)}; --only takes {', '.join(PAIR_SETS)}.")
        if self.seeds < 1:
            raise FlipkdError("--seeds must be at least 1.")

    @property
    def sets(self) -> list[str]:
        """The names of the sets to run."""
        return [name.strip() for name in self.only.split(",")] if self.only else list(PAIR_SETS)
