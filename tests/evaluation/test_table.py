from io import StringIO

from rich.console import Console

from flipkd.evaluation.metrics import Metrics
from flipkd.evaluation.table import COLUMNS, comparison_table, markdown_table


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


def test_markdown_has_every_figure_under_its_column():
    lines = markdown_table({"fine_tuned": metrics(0.6789)}).splitlines()
    assert lines[0] == f"| {' | '.join(COLUMNS)} |"
    assert lines[2] == ("| fine-tuned | 0.679 | 0.812 | 0.875 | 0.750 | 0.500 | 0.250 | -0.125 | 610 |")
    assert len({line.count("|") for line in lines}) == 1


def test_rows_stand_in_order_with_the_two_models_last():
    names = [line.split("|")[1].strip() for line in markdown_table(ROWS).splitlines()[2:]]
    assert names == [
        "teacher",
        "zero-shot",
        "flipped answer",
        "an extra row",
        "flipped+teacher",
    ]


def test_the_terminal_sets_the_two_models_apart_in_80_columns():
    console = Console(width=80, record=True, file=StringIO())
    console.print(comparison_table(ROWS))
    lines = [line.strip() for line in console.export_text().splitlines()]
    two = next(i for i, line in enumerate(lines) if line.startswith("flipped+teacher"))
    assert lines[two - 1] == ""
    assert lines[two - 2].startswith("an extra row")
    assert len([line for line in lines if line]) == len(ROWS) + 2


def test_the_terminal_shows_the_same_cells_as_markdown():
    table = comparison_table(ROWS)
    columns = [list(column.cells) for column in table.columns]
    terminal = [" | ".join(cells) for cells in zip(*columns, strict=True)]
    assert [f"| {line} |" for line in terminal] == markdown_table(ROWS).splitlines()[2:]
