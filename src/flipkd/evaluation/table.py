"""The comparison table, on the terminal and as Markdown."""

from collections.abc import Iterator, Mapping

from rich import box
from rich.table import Table

from flipkd.evaluation.metrics import Metrics

ONE_MODEL = {
    "teacher": "teacher",
    "zero_shot": "zero-shot",
    "fine_tuned": "fine-tuned",
    "flipped_decoder": "flipped decoder",
    "flipped_encoder": "flipped encoder",
    "flipped_answer": "flipped answer",
}
TWO_MODELS = {
    "fine_tuned_teacher": "fine-tuned+teacher",
    "flipped_teacher": "flipped+teacher",
}
COLUMNS = ("method", "F1", "AP", "AUC", "acc.", "prec.", "recall", "threshold", "n")


def _cells(name: str, metrics: Metrics) -> list[str]:
    m = metrics
    figures = (m.f1, m.ap, m.auc, m.accuracy, m.precision, m.recall)
    return [name, *(f"{figure:.3f}" for figure in figures), f"{m.threshold:.3g}", str(m.n)]


def _sections(rows: Mapping[str, Metrics]) -> Iterator[list[list[str]]]:
    """The lines of one model, of other names in the order given, and of two models; empty ones left out."""
    named = {key: _cells((ONE_MODEL | TWO_MODELS).get(key, key.replace("_", " ")), rows[key]) for key in rows}
    others = [key for key in rows if key not in ONE_MODEL | TWO_MODELS]
    for keys in ([*ONE_MODEL, *others], TWO_MODELS):
        lines = [named[key] for key in keys if key in named]
        if lines:
            yield lines


def comparison_table(rows: Mapping[str, Metrics]) -> Table:
    """The table for the terminal, the answers of two models under a rule of their own.

    Args:
        rows: Metrics by the keys of ``evaluation/metrics.json``; other keys are shown by their own name.
    """
    # Narrow enough for a terminal of 80 columns.
    table = Table(*COLUMNS[:1], box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in COLUMNS[1:]:
        table.add_column(name, justify="right")
    for section in _sections(rows):
        table.add_section()
        for line in section:
            table.add_row(*line)
    return table


def markdown_table(rows: Mapping[str, Metrics]) -> str:
    """The same table in Markdown, the answers of two models last; ends with a newline."""
    lines = [list(COLUMNS), ["---", *["---:"] * (len(COLUMNS) - 1)]]
    lines += [line for section in _sections(rows) for line in section]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
