"""`flipkd report`: the report of a finished run, made again from its files."""

from dataclasses import dataclass
from pathlib import Path

from flipkd.errors import FlipkdError


@dataclass
class Options:
    """Make the report of a finished run, or its model card, from the artefact's files alone. No model is loaded."""

    model: str = ""
    """The artefact: the --output of a finished run, also of an older version; what it does not hold is named."""
    output: str | None = None
    """The file to write: .html for the report in one page, .md for the model card. By default report.html in the
    artefact."""


def run(options: Options) -> None:
    """Write the file, whole or not at all."""
    from flipkd.console import announce
    from flipkd.files import write_whole
    from flipkd.report.render import REPORT_FILE, html_report, model_card

    if not options.model:
        raise FlipkdError("--model is missing.")
    folder = Path(options.model).expanduser()
    output = folder / REPORT_FILE if options.output is None else Path(options.output)
    makers = {".html": html_report, ".md": model_card}
    if output.suffix not in makers:
        raise FlipkdError(f"--output {output} must end in .html, for the report, or in .md, for the model card.")
    # What the artefact has at the default place may be a link: to a hub's cache, or to wherever a stranger liked.
    write_whole(output, makers[output.suffix](folder), through_links=options.output is not None)
    announce("report", output, f"from the files in {folder}")
