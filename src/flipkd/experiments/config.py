"""The settings of `flipkd reproduce`."""

from dataclasses import dataclass

from flipkd.errors import FlipkdError
from flipkd.experiments.retrieval_sets import RETRIEVAL_SETS
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
    rates: bool = False
    """Instead compare learning rates of fine-tuning and flipping, as many for each, with seed 0 on validation and on
    training pairs that are held out, and write learning_rates.jsonl."""
    report_only: bool = False
    """Run nothing: write the report from the cells that are there."""

    def __post_init__(self) -> None:
        known = [*PAIR_SETS, *RETRIEVAL_SETS]
        unknown = sorted(set(self._chosen) - set(known))
        if unknown:
            raise FlipkdError(f"There is no set {', '.join(map(repr, unknown))}; --only takes {', '.join(known)}.")
        if self.rates and not self.pair_sets:
            raise FlipkdError(f"--rates compares pair sets alone: {', '.join(PAIR_SETS)}.")
        if self.rates and self.report_only:
            raise FlipkdError("--rates runs trainings and --report-only runs nothing: leave one of them out.")
        if self.seeds < 1:
            raise FlipkdError("--seeds must be at least 1.")

    @property
    def _chosen(self) -> list[str]:
        named = dict.fromkeys(name.strip() for name in self.only.split(","))
        return list(named) if self.only else [*PAIR_SETS, *RETRIEVAL_SETS]

    @property
    def pair_sets(self) -> list[str]:
        """The pair sets to run, by name."""
        return [name for name in self._chosen if name in PAIR_SETS]

    @property
    def retrieval_sets(self) -> list[str]:
        """The retrieval sets to run, by name."""
        return [name for name in self._chosen if name in RETRIEVAL_SETS]
