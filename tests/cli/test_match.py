import csv

import pytest

from flipkd.cli import main
from flipkd.cli.main import main as run
from tiny import texts


def write(file, rows, header=("text_a", "text_b", "note")):
    with open(file, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return str(file)


def read(file):
    with open(file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def match(artefact, pairs, output, *words):
    given = ["--model", str(artefact), "--pairs", pairs, "--output", str(output), "--device", "cpu"]
    return run(["match", *given, *words])


ROWS = [(a, b, f"row {i}") for i, (a, b) in enumerate(zip(texts(7, 5), texts(7, 6), strict=True))]


def test_rows_keep_order_duplicates_and_further_columns(artefact, tmp_path):
    rows = [ROWS[3], ROWS[0], ROWS[3], ('with "quotes", and\na line', "reset my pin", "007"), ROWS[1]]
    assert match(artefact, write(tmp_path / "pairs.csv", rows), tmp_path / "out.csv") == 0
    found = read(tmp_path / "out.csv")
    assert [(r["text_a"], r["text_b"], r["note"]) for r in found] == rows
    assert found[0] == found[2]
    assert list(found[0])[-4:] == ["probability", "similarity", "logit", "match"]


def test_chunks_answer_as_the_whole(artefact, tmp_path):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    match(artefact, pairs, tmp_path / "whole.csv")
    match(artefact, pairs, tmp_path / "chunks.csv", "--chunk-rows", "2")
    for one, other in zip(read(tmp_path / "whole.csv"), read(tmp_path / "chunks.csv"), strict=True):
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-5)


def test_a_fault_in_the_last_row_leaves_no_output(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", [*ROWS, ("", "reset", "x")])
    assert match(artefact, pairs, tmp_path / "out.csv", "--chunk-rows", "2") == 1
    assert "pairs.csv" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.csv"]


def test_the_old_output_stays_when_the_new_one_fails(artefact, tmp_path):
    (tmp_path / "out.csv").write_text("old")
    pairs = write(tmp_path / "pairs.csv", [*ROWS, ("", "reset", "x")])
    match(artefact, pairs, tmp_path / "out.csv", "--chunk-rows", "2")
    assert (tmp_path / "out.csv").read_text() == "old"


def test_a_labelled_file_is_passed_through(artefact, tmp_path):
    header = ("question1", "question2", "label")
    pairs = write(tmp_path / "pairs.csv", [("reset my pin", "open account", "maybe")], header)
    assert match(artefact, pairs, tmp_path / "out.csv") == 0
    assert read(tmp_path / "out.csv")[0]["label"] == "maybe"


def test_an_output_that_is_not_csv_is_refused(artefact, tmp_path, capsys):
    assert match(artefact, write(tmp_path / "pairs.csv", ROWS), tmp_path / "out.xlsx") == 1
    assert "must end in .csv" in " ".join(capsys.readouterr().err.split())


def test_inspect_marks_the_texts_and_the_read_position(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    assert run(["inspect", "--model", str(artefact), "--pairs", pairs, "--rows", "2"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert len(blocks) == 2
    for block in blocks:
        real = [line for line in block.splitlines() if line.split()[0].isdigit()]
        assert "<- the answer is read here" in real[-1]
        assert block.count("read here") == 1
        assert "in a's vector" in block


def test_every_command_has_options_and_a_run(tmp_path):
    from importlib import import_module

    for module, _ in main.COMMANDS.values():
        found = import_module(module)
        assert found.Options.__doc__
        assert callable(found.run)
