"""What is committed under results/ is what the cells there give."""

import shutil
from pathlib import Path

import pytest

from flipkd.experiments.cells import PREDICTIONS, predictions_file, read_cells
from flipkd.experiments.report import BEGIN, END, REPORT, summary_table, write_report
from flipkd.experiments.retrieval_cells import read_retrieval

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
pytestmark = pytest.mark.skipif(not (RESULTS / "cells.jsonl").is_file(), reason="no cell has been run yet")


def test_the_report_is_written_from_the_cells(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("cells.jsonl", "retrieval.jsonl"):
        if (RESULTS / name).is_file():
            shutil.copy(RESULTS / name, tmp_path)
    shutil.copytree(RESULTS / PREDICTIONS, tmp_path / PREDICTIONS)
    assert write_report(tmp_path).read_text() == (RESULTS / REPORT).read_text()


def test_the_readme_shows_the_table_of_the_cells():
    text = (ROOT / "README.md").read_text()
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert shown.strip() == summary_table(read_cells(RESULTS)).strip()


def test_every_prediction_belongs_to_a_cell():
    wanted = {predictions_file(RESULTS, cell.set, cell.method, cell.seed) for cell in read_cells(RESULTS)}
    by_query = {predictions_file(RESULTS, cell.set, cell.method, cell.seed) for cell in read_retrieval(RESULTS)}
    assert wanted <= set((RESULTS / PREDICTIONS).iterdir()) <= wanted | by_query
