"""`flipkd report`."""

import shutil

import pytest

from flipkd.cli.main import main
from flipkd.files import partial_of


@pytest.fixture
def copy(artefact, tmp_path):
    return shutil.copytree(artefact, tmp_path / "copy")


def test_the_report_is_made_again_in_its_place(copy):
    expected = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    assert main(["report", "--model", str(copy)]) == 0
    assert (copy / "report.html").read_bytes() == expected
    assert (copy / "README.md").is_file()


def test_the_ending_says_report_or_card(artefact, tmp_path):
    for name, same in (("a/page.html", "report.html"), ("a/card.md", "README.md")):
        assert main(["report", "--model", str(artefact), "--output", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes() == (artefact / same).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--model is missing"),
        (["--output", "report.pdf"], "must end in .html, for the report, or in .md, for the model card"),
        (["--model", "nowhere"], "nowhere is no flipkd artefact"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(words, said, artefact, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = [] if not words or "--model" in words else ["--model", str(artefact)]
    assert main(["report", *model, *words]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_leaves_the_old_report(copy, capsys):
    (copy / "evaluation" / "metrics.json").write_text("{")
    (copy / "report.html").write_text("the old one")
    assert main(["report", "--model", str(copy)]) == 1
    assert "metrics.json is damaged" in capsys.readouterr().err
    assert (copy / "report.html").read_text() == "the old one"


def test_a_link_in_the_reports_place_is_replaced_and_what_it_leads_to_stays(copy, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    (copy / "report.html").unlink()
    (copy / "report.html").symlink_to(precious)
    assert main(["report", "--model", str(copy)]) == 0
    assert precious.read_text() == "mine"
    assert not (copy / "report.html").is_symlink()


@pytest.mark.parametrize("at", [4, -12])
def test_damaged_predictions_are_named(copy, at, capsys):
    file = copy / "evaluation" / "predictions.parquet"
    data = bytearray(file.read_bytes())
    data[at : at + 4 if at > 0 else None] = b"\xff" * len(data[at : at + 4 if at > 0 else None])
    file.write_bytes(data)
    assert main(["report", "--model", str(copy), "--output", str(copy.parent / "r.html")]) == 1
    assert f"error: {file} is damaged" in capsys.readouterr().err


def test_a_link_where_the_part_would_be_written_is_not_followed(copy, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    partial_of(copy / "report.html").symlink_to(precious)
    assert main(["report", "--model", str(copy)]) == 0
    assert precious.read_text() == "mine"
    assert not (copy / "report.html").is_symlink()
