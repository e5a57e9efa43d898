"""`flipkd reproduce`."""

from contextlib import suppress

from flipkd.errors import FlipkdError
from flipkd.experiments.config import ReproduceConfig as Options

__all__ = ["Options", "run"]


def run(options: Options) -> None:
    """Run what is missing, and write the report."""
    from flipkd.experiments.grid import run_grid
    from flipkd.experiments.learning_rates import compare_rates
    from flipkd.experiments.retrieval_grid import check_retrieval, run_retrieval

    if options.rates:
        compare_rates(options)
        return
    try:
        if not options.report_only:
            check_retrieval(options)
            run_grid(options)
            run_retrieval(options)
    except BaseException:
        # Also after a failure, or Ctrl-C; but what ended the run is the error to be told.
        with suppress(FlipkdError):
            _report(options)
        raise
    _report(options)


def _report(options: Options) -> None:
    """Write the report of what there is.

    Raises:
        FlipkdError: If there is nothing, or a file of what there is cannot be read.
    """
    from pathlib import Path

    from flipkd.console import announce
    from flipkd.experiments.cells import read_cells
    from flipkd.experiments.report import update_file, write_report
    from flipkd.experiments.retrieval_cells import read_retrieval

    results = Path(options.results)
    if not read_cells(results) and not read_retrieval(results):
        raise FlipkdError(f"There is nothing to report in {results}: name the folder of the cells with --results.")
    announce("report", write_report(results), "written from the cells and predictions beside it")
    if options.readme is not None:
        update_file(Path(options.readme), read_cells(results))
