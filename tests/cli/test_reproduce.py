"""`flipkd reproduce` as a command: what it leaves when it cannot begin, and the report of what there is."""

from experiments.synthetic import put
from flipkd.cli.main import main
from flipkd.experiments.cells import predictions_file


def test_a_run_that_cannot_begin_names_the_file_and_leaves_nothing(tmp_path, capsys):
    results = tmp_path / "results"
    words = ["reproduce", "--data", str(tmp_path), "--only", "mqp", "--results", str(results)]
    assert main(words) == 1
    assert "mqp/train.jsonl.gz" in capsys.readouterr().err
    assert not results.exists()


def test_report_only_writes_report_and_readme_from_the_cells(tmp_path):
    put(tmp_path, "mqp", "floor", 20)
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results: begin -->\n<!-- results: end -->\nafter\n")
    assert main(["reproduce", "--report-only", "--results", str(tmp_path), "--readme", str(readme)]) == 0
    assert "0.900" in (tmp_path / "report.md").read_text()
    assert "| mqp |" in readme.read_text()


def test_what_ended_a_run_is_told_where_the_report_fails_as_well(tmp_path, capsys):
    cell = put(tmp_path, "mqp", "floor", 20)
    predictions_file(tmp_path, "mqp", cell.method, cell.seed).unlink()
    assert main(["reproduce", "--data", str(tmp_path), "--only", "mqp", "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "mqp/train.jsonl.gz" in said
    assert "is missing, though its cell" not in said


def test_a_report_of_nothing_is_an_error(tmp_path, capsys):
    assert main(["reproduce", "--report-only", "--results", str(tmp_path / "nowhere")]) == 1
    assert "There is nothing to report in" in capsys.readouterr().err


def test_rates_and_report_only_exclude_each_other(capsys):
    assert main(["reproduce", "--rates", "--report-only"]) == 1
    assert "leave one of them out" in capsys.readouterr().err
