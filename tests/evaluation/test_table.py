from io import StringIO

from rich.console import Console

from flipkd.evaluation.metrics import Metrics
from flipkd.evaluation.table import COLUMNS, comparison_table, in_sections


def metrics(f1):
    return Metrics(f1, 0.75, 0.5, 0.25, 0.8125, 0.875, -0.125, 610)


# In an order of their own, to see them sorted.
ROWS = {
    "flipped_teacher": metrics(0.9),
    "flipped_answer": metrics(0.8),
    "teacher": metrics(0.7),
    "an_extra_row": metrics(0.6),
    "zero_shot": metrics(0.1),
}


def test_every_figure_stands_under_its_column():
    columns = comparison_table({"fine_tuned": metrics(0.6789)}).columns
    line = ["fine-tuned", "0.679", "0.812", "0.875", "0.750", "0.500", "0.250", "-0.125", "610"]
    assert {column.header: list(column.cells) for column in columns} == {
        name: [cell] for name, cell in zip(COLUMNS, line, strict=True)
    }


def test_rows_stand_in_order_with_the_two_models_last():
    one = [("teacher", "teacher"), ("zero_shot", "zero-shot"), ("flipped_answer", "flipped answer")]
    assert list(in_sections(ROWS)) == [
        [*one, ("an_extra_row", "an extra row")],
        [("flipped_teacher", "flipped+teacher")],
    ]


def test_the_terminal_sets_the_two_models_apart_in_80_columns():
    console = Console(width=80, record=True, file=StringIO())
    console.print(comparison_table(ROWS))
    lines = [line.strip() for line in console.export_text().splitlines()]
    two = next(i for i, line in enumerate(lines) if line.startswith("flipped+teacher"))
    assert lines[two - 1] == ""
    assert lines[two - 2].startswith("an extra row")
    assert len([line for line in lines if line]) == len(ROWS) + 2
