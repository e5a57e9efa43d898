import json
import shutil

import pytest

from flipkd.cli.main import main
from flipkd.data.reader import read_pairs


def evaluate(artefact, test, *words):
    return main(["evaluate", "--model", str(artefact), "--test", test, "--device", "cpu", *words])


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_the_figures_of_the_run_come_again(artefact, files, capsys):
    assert evaluate(artefact, files["test"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    run = json.loads((artefact / "evaluation" / "metrics.json").read_text())
    row = run["rows"]["flipped_answer"]
    assert {name: found["metrics"][name] for name in ("f1", "ap", "auc", "n")} == pytest.approx(
        {name: row[name] for name in ("f1", "ap", "auc", "n")}, abs=1e-5
    )
    assert found["after"] == pytest.approx(run["calibration"]["test"]["after"], abs=1e-4)
    assert found["decisions"]["accepted"] == pytest.approx(run["decision"]["measured"]["accepted"], abs=1e-5)
    assert "calibration error" in printed.err


def test_a_policy_of_bands_is_measured_and_written_whole(artefact, files, tmp_path, capsys):
    output = tmp_path / "figures.json"
    # Precisions that any pairs reach: the least is accepted or rejected that has both.
    assert evaluate(artefact, files["test"], "--policy", "bands=0.4:0.4", "--output", str(output)) == 0
    found = json.loads(output.read_text())
    assert found["policy"] == "bands=0.4:0.4"
    shares = found["decisions"]
    assert shares["accepted"]["share"] + shares["review"] + shares["rejected"]["share"] == pytest.approx(1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "to review" in printed.err
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


def test_pairs_that_the_run_has_seen_are_said_aloud(artefact, files, capsys):
    evaluate(artefact, files["validation"])
    assert "had its thresholds and its answer fitted on these very pairs" in said(capsys)


def test_another_match_rate_is_said_with_the_prior_that_fits(artefact, tmp_path, capsys):
    table = read_pairs("demo/banking77/test.csv")
    rows = [row for row in range(len(table)) if table.label[row] == 0][:60] + [
        row for row in range(len(table)) if table.label[row] == 1
    ][:3]
    lines = [
        json.dumps({"text_a": table.text_a[i], "text_b": table.text_b[i], "label": int(table.label[i])}) for i in rows
    ]
    (tmp_path / "rare.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert evaluate(artefact, str(tmp_path / "rare.jsonl")) == 0
    assert "--prior 0.0476" in said(capsys)


def test_a_policy_that_is_none_is_one_error(artefact, files, capsys):
    assert evaluate(artefact, files["test"], "--policy", "precision=high") == 1
    assert "There is no threshold policy 'precision=high'" in said(capsys)


def test_pairs_without_labels_are_refused_before_the_model_is_loaded(artefact, tmp_path, capsys):
    (tmp_path / "pairs.csv").write_text("text_a,text_b\na b,c d\n", encoding="utf-8")
    assert evaluate(artefact, str(tmp_path / "pairs.csv")) == 1
    assert "label" in said(capsys)


@pytest.mark.parametrize("output", [".", "folder"])
def test_a_folder_to_write_to_is_refused_before_the_model_is_loaded(
    artefact, files, tmp_path, monkeypatch, capsys, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("flipkd.matching.matcher.Matcher.from_pretrained", None)
    assert evaluate(artefact, files["test"], "--output", output) == 1
    assert "is a folder: name a file" in said(capsys)


def test_the_pairs_are_not_written_over(artefact, files, tmp_path, capsys):
    pairs = tmp_path / "pairs.csv"
    shutil.copy(files["test"], pairs)
    before = pairs.read_bytes()
    assert evaluate(artefact, str(pairs), "--output", str(pairs)) == 1
    assert "is the file that is read" in said(capsys)
    assert pairs.read_bytes() == before
