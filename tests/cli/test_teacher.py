"""`flipkd teacher train` as a command."""

import pytest

from flipkd.cli.main import main
from flipkd.data.reader import read_pairs
from flipkd.teacher.record import read_record


def test_a_teacher_is_trained_on_what_validation_leaves(models, files, tmp_path, capsys):
    output = tmp_path / "teacher"
    words = ["--teacher", models["teacher"], "--train", files["train"], "--output", str(output)]
    assert main(["teacher", "train", *words, "--validation-share", "0.5", "--training.epochs", "1"]) == 0
    record = read_record(output)
    assert record.finished
    assert len(record.fold) == len(read_pairs(files["train"])) / 2
    assert set(record.auc["validation"]) == set(record.parts)
    assert f"give it to flipkd distill --teacher {output}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--train", "x.csv"], "--output is missing"),
        (["--output", "x"], "--train is missing"),
        (["--train", "x.csv", "--output", "x", "--seed", "-1"], "--seed is -1"),
    ],
)
def test_what_is_missing_or_wrong_is_said(words, error, capsys):
    assert main(["teacher", "train", *words]) == 1
    assert error in capsys.readouterr().err
