"""The comparison table on the terminal, and the names and the order of its rows."""

from collections.abc import Iterable, Iterator, Mapping

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


def in_sections(rows: Iterable[str]) -> Iterator[list[tuple[str, str]]]:
    """The rows of one model and of other names in the order given, then those of two models; empty ones left out.

    Args:
        rows: The keys of ``evaluation/metrics.json``; other keys are shown by their own name.

    Yields:
        Each row's key and its name.
    """
    there = list(rows)
    others = [key for key in there if key not in ONE_MODEL | TWO_MODELS]
    for keys in ([*ONE_MODEL, *others], TWO_MODELS):
        section = [(key, (ONE_MODEL | TWO_MODELS).get(key, key.replace("_", " "))) for key in keys if key in there]
        if section:
            yield section


def _cells(name: str, metrics: Metrics) -> list[str]:
    m = metrics
    figures = (m.f1, m.ap, m.auc, m.accuracy, m.precision, m.recall)
    return [name, *(f"{figure:.3f}" for figure in figures), f"{m.threshold:.3g}", str(m.n)]


def comparison_table(rows: Mapping[str, Metrics]) -> Table:
    """The table for the terminal, the answers of two models under a rule of their own.

    Args:
        rows: Metrics by the keys of ``evaluation/metrics.json``; other keys are shown by their own name.
    """
    # Narrow enough for a terminal of 80 columns.
    table = Table(*COLUMNS[:1], box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in COLUMNS[1:]:
        table.add_column(name, justify="right")
    for section in in_sections(rows):
        table.add_section()
        for key, name in section:
            table.add_row(*_cells(name, rows[key]))
    return table
