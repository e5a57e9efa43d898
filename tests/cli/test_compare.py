"""`flipkd compare` as a command."""

import csv
import json

import pytest

from flipkd.cli.main import main
from flipkd.cli.options import parse
from flipkd.data.reader import read_pairs


@pytest.fixture(scope="module")
def two(files, tmp_path_factory):
    """A system that is always right, one that always says match, and the test pairs with a further column."""
    folder, test = tmp_path_factory.mktemp("systems"), read_pairs(files["test"])
    label = test.label.tolist()
    columns = {
        "right": {"match": label},
        "always": {"match": [1] * len(test)},
        "test": {"label": label, "origin": ["web", "app"] * (len(test) // 2)},
    }
    for name, further in columns.items():
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(["text_a", "text_b", *further])
            writer.writerows(zip(test.text_a, test.text_b, *further.values(), strict=True))
    return folder


def compare(two, *words):
    return main(["compare", str(two / "always.csv"), str(two / "right.csv"), "--test", str(two / "test.csv"), *words])


def test_the_verdict_goes_to_standard_output_and_the_whole_to_files(two, tmp_path, capsys):
    files = tmp_path / "new" / "report.json", tmp_path / "report.md"
    words = ["--by", "origin", "--draws", "300", "--seed", "7", "--output", str(files[0]), "--markdown", str(files[1])]
    assert compare(two, *words) == 0
    said = capsys.readouterr().out
    report = json.loads(files[0].read_text())
    assert report["verdict"] in said
    assert "right.csv (B) is better than" in report["verdict"]
    assert (report["draws"], report["seed"], report["n"]) == (300, 7, 30)
    assert "300 draws, seed 7" in said
    assert [part["name"] for part in report["slices"] if part["by"] == "origin"] == ["web", "app"]
    assert report["metrics"]["f1"]["b"] == 1.0
    assert report["verdict"] in files[1].read_text()


def test_an_artefact_against_its_own_predictions_is_no_better(artefact, files, capsys):
    words = [str(artefact), str(artefact / "evaluation" / "predictions.parquet")]
    assert main(["compare", *words, "--test", files["test"], "--draws", "100", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "decide all 30 pairs alike" in said.out
    assert "its own threshold" in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "--a is missing"),
        (["one"], "--b is missing"),
        (["one", "two"], "--test is missing"),
        (["one", "two", "--test", "x.csv", "--draws", "3"], "at least 100"),
        (["one", "two", "--test", "x.csv", "--seed", "-1"], "--seed is -1"),
        (["one", "two", "--test", "x.csv", "--threshold-a", ".nan"], "--threshold-a is nan"),
        (["one", "two", "--test", "x.csv", "--threshold-b", ".inf"], "--threshold-b is inf"),
    ],
)
def test_what_is_missing_is_said(words, error, capsys):
    assert main(["compare", *words]) == 1
    assert error in capsys.readouterr().err


def test_the_two_first_words_are_a_and_b():
    from flipkd.cli.compare import Options

    found = parse(Options, "flipkd compare", ["x", "y", "--test", "t.csv"])
    assert (found.a, found.b, found.test) == ("x", "y", "t.csv")
    assert parse(Options, "flipkd compare", ["x", "--b", "y"]).b == "y"


def test_a_failure_leaves_the_old_report(two, tmp_path):
    old = tmp_path / "report.json"
    old.write_text("old")
    assert compare(two, "--by", "nothing", "--output", str(old)) == 1
    assert old.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("wrong", ["none.csv", "other.csv"])
def test_a_wrong_second_system_is_known_before_the_first_answers(artefact, files, tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.setattr("flipkd.matching.systems.Matcher.from_pretrained", None)
    (tmp_path / "other.csv").write_text("text_a,text_b,match\na,b,1\n", encoding="utf-8")
    assert main(["compare", str(artefact), str(tmp_path / wrong), "--test", files["test"]]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert ("there is no such path" if wrong == "none.csv" else "is not the pair of") in said


def test_pairs_with_an_empty_text_can_be_left_out_as_a_run_did(two, tmp_path, capsys):
    with open(tmp_path / "test.csv", "w", newline="", encoding="utf-8") as handle:
        handle.write((two / "test.csv").read_text(encoding="utf-8") + "a text,,0,web\r\n")
    words = ["compare", str(two / "always.csv"), str(two / "right.csv"), "--test", str(tmp_path / "test.csv")]
    assert main(words) == 1
    assert "--empty drop" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--empty", "drop", "--draws", "100"]) == 0


@pytest.mark.parametrize(("option", "file"), [("--output", "test"), ("--markdown", "always"), ("--output", "right")])
def test_what_is_read_is_not_written_over(two, option, file, capsys):
    path = two / f"{file}.csv"
    before = path.read_bytes()
    assert compare(two, option, str(path)) == 1
    assert "is the file that is read. Name a new one." in " ".join(capsys.readouterr().err.split())
    assert path.read_bytes() == before


def test_both_reports_may_go_nowhere_and_not_to_one_file(two, tmp_path, capsys):
    assert compare(two, "--output", "/dev/null", "--markdown", "/dev/null", "--draws", "100") == 0
    one = str(tmp_path / "r.md")
    assert compare(two, "--output", one, "--markdown", one) == 1
    assert "is the file that --output names. Name a new one." in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []
