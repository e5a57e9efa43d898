"""`flipkd errors` and `flipkd data merge`: from a run's answers to a mended file."""

import csv
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flipkd.cli.main import main
from flipkd.data.reader import read_pairs
from flipkd.matching.answered import answers_of
from flipkd.report.mistakes import mistakes
from flipkd.report.records import Records
from tiny import pairs, write_csv


def rows_of(file):
    with open(file, newline="", encoding="utf-8-sig") as handle:
        return list(csv.DictReader(handle))


def fill(file, *new):
    rows = rows_of(file)
    for row, label in zip(rows, new, strict=False):
        row["new_label"] = label
    with open(file, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_how_sure_is_checked_before_any_pair_is_answered(artefact, capsys):
    assert main(["errors", "--model", str(artefact), "--pairs", "missing.csv", "--sure", "1.5"]) == 1
    assert "--sure must lie between 0.5 and 1" in capsys.readouterr().err


def test_mistakes_of_the_run_go_to_a_list_and_back_into_the_test_file(artefact, files, tmp_path, capsys):
    lists = tmp_path / "lists"
    assert main(["errors", "--model", str(artefact), "--output", str(lists)]) == 0
    found = answers_of(artefact, None)
    label = read_pairs(files["test"]).label
    wrong = int((found.match != label).sum())
    assert wrong >= 2
    listed = rows_of(lists / "mistakes.csv")
    assert len(listed) == wrong
    assert all(row["source"] == files["test"] for row in listed)
    assert f"mistakes: {wrong} of 30 pairs" in capsys.readouterr().err

    fill(lists / "mistakes.csv", str(1 - int(listed[0]["label"])), "drop")
    (lists / "label_noise.csv").unlink(missing_ok=True)
    output = tmp_path / "test2.csv"
    words = ["data", "merge", "--pairs", files["test"], "--relabelled", str(lists), "--output", str(output)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 relabelled, 1 dropped, 0 confirmed" in said
    assert f"line {listed[1]['line']}: dropped" in said
    old, new = read_pairs(files["test"]), read_pairs(str(output))
    kept = [row for row, line in enumerate(old.line) if line != int(listed[1]["line"])]
    assert new.text_a == [old.text_a[row] for row in kept]
    changed = np.flatnonzero(new.label != old.label[kept])
    assert [old.line[kept[row]] for row in changed] == [int(listed[0]["line"])]
    assert main(words) == 1
    assert "is already there" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_a_list_that_is_being_worked_on_is_not_replaced(artefact, tmp_path, capsys):
    words = ["errors", "--model", str(artefact), "--output", str(tmp_path)]
    assert main(words) == 0
    fill(tmp_path / "mistakes.csv", "drop")
    assert main(words) == 1
    assert "mistakes.csv is already there" in " ".join(capsys.readouterr().err.split())
    assert rows_of(tmp_path / "mistakes.csv")[0]["new_label"] == "drop"
    assert main([*words, "--overwrite"]) == 0
    assert rows_of(tmp_path / "mistakes.csv")[0]["new_label"] == ""


def test_an_earlier_list_is_not_merged_with_those_of_today(artefact, tmp_path, capsys):
    (tmp_path / "leaks.csv").write_text("filled in long ago")
    assert main(["errors", "--model", str(artefact), "--output", str(tmp_path), "--overwrite"]) == 0
    assert (tmp_path / "mistakes.csv").exists()
    assert not (tmp_path / "leaks.csv").exists()
    assert "removed" in capsys.readouterr().err


def test_a_pair_for_review_is_no_mistake(artefact, tmp_path, capsys):
    found = answers_of(artefact, None)
    wrong = np.flatnonzero(found.match != found.table.require_labels())
    copy = tmp_path / "run"
    shutil.copytree(artefact, copy)
    file = copy / "evaluation" / "predictions.parquet"
    decision = ["review" if row == wrong[0] else "accept" if found.match[row] else "reject" for row in range(30)]
    pq.write_table(pq.read_table(file).append_column("decision", pa.array(decision)), file)
    assert main(["errors", "--model", str(copy)]) == 0
    assert f"mistakes: {len(wrong) - 1} of 30 pairs" in capsys.readouterr().err
    text = found.table.text_a[wrong[0]]
    assert [row.name for row in mistakes(Records(copy)).rows if text in [cell.text for cell in row.cells]] == []


def test_texts_do_not_steer_the_terminal(tmp_path, capsys):
    table = pairs(12, 1)
    table.text_a[0] = "\x1b[2J\x1b]0;title\x07 [bold]reset\nTrain: all is well"
    words = [word for name in ("train", "test") for word in (f"--{name}", write_csv(table, tmp_path / f"{name}.csv"))]
    assert main(["errors", *words]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert r"a: \x1b[2J\x1b]0;title\x07 [bold]reset\nTrain: all is well" in said.out


def test_the_kept_answers_are_those_given_now(artefact, files):
    before = answers_of(artefact, None)
    now = answers_of(artefact, read_pairs(files["test"]), device="cpu")
    np.testing.assert_allclose(now.probability, before.probability, atol=1e-5)
    np.testing.assert_array_equal(now.match, before.match)
    assert before.table.line == now.table.line
    assert before.teacher is not None
    assert now.teacher is None


def test_without_a_teacher_no_label_noise_is_guessed(artefact, files, capsys, tmp_path):
    words = [
        "errors",
        "--model",
        str(artefact),
        "--pairs",
        files["train"],
        "--output",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    assert main(words) == 0
    assert "label noise: not looked for" in capsys.readouterr().err
    assert not (tmp_path / "label_noise.csv").exists()
    assert all(row["source"] == files["train"] for row in rows_of(tmp_path / "mistakes.csv"))


@pytest.mark.parametrize("change", ["gone", "edited", "unreadable"])
def test_a_test_file_that_is_no_longer_the_runs_is_said(artefact, files, tmp_path, capsys, change):
    copy = tmp_path / "run"
    shutil.copytree(artefact, copy)
    moved = tmp_path / "test.csv"
    spec = (copy / "flipkd.json").read_text()
    (copy / "flipkd.json").write_text(spec.replace(files["test"], str(moved)))
    if change == "edited":
        write_csv(pairs(30, 9), moved)
    if change == "unreadable":
        moved.write_text("text_a,text_b,label\na, ,perhaps\n", encoding="utf-8")
    found = answers_of(copy, None)
    assert found.table.source == str(copy / "evaluation" / "predictions.parquet")
    assert found.table.line == list(range(1, 31))
    assert ("is not there" if change == "gone" else "has changed since") in " ".join(capsys.readouterr().err.split())


def test_pairs_of_a_validation_split_off_from_training_keep_their_lines(artefact, files):
    from flipkd.matching.answered import _rows_in

    whole = read_pairs(files["test"])
    assert _rows_in(whole.select([1, 4, 9]), whole) == [1, 4, 9]
    assert _rows_in(whole.select([4, 1]), whole) is None


def test_label_noise_that_was_planted_is_found(artefact, tmp_path, monkeypatch):
    from dataclasses import replace

    from flipkd.matching import answered

    table = pairs(12, 3)
    label = table.label.copy()
    label[5] = 1 - label[5]
    sure = np.where(table.label == 1, 0.95, 0.05)
    found = answered.Answered(replace(table, label=label), sure, sure > 0.5, None, 2 * sure - 1, 0.5, -0.5)
    monkeypatch.setattr(answered, "answers_of", lambda *_, **__: found)
    assert main(["errors", "--model", str(artefact), "--output", str(tmp_path)]) == 0
    (row,) = rows_of(tmp_path / "label_noise.csv")
    assert main(["errors", "--model", str(artefact), "--output", str(tmp_path / "surer"), "--sure", "0.99"]) == 0
    assert not (tmp_path / "surer" / "label_noise.csv").exists()
    assert (row["text_a"], row["label"], row["line"]) == (table.text_a[5], str(label[5]), str(table.line[5]))
    assert row["why"].startswith("teacher and student say")


def test_leaks_between_splits_are_listed_from_both_sides(tmp_path, capsys):
    splits = {"train": pairs(12, 1), "validation": pairs(12, 2), "test": pairs(12, 3)}
    splits["test"].text_a[4], splits["test"].text_b[4] = splits["train"].text_a[7], splits["train"].text_b[7]
    splits["test"].label[4] = 1 - splits["train"].label[7]
    words = [
        word for name, table in splits.items() for word in (f"--{name}", write_csv(table, tmp_path / f"{name}.csv"))
    ]
    assert main(["errors", *words, "--near", "1", "--output", str(tmp_path / "lists")]) == 0
    one, other = rows_of(tmp_path / "lists" / "leaks.csv")
    assert [(row["source"].rpartition("/")[2], row["line"]) for row in (one, other)] == [
        ("test.csv", "6"),
        ("train.csv", "9"),
    ]
    assert "the labels differ" in one["why"]
    said = " ".join(capsys.readouterr().err.split())
    assert "test against train: 1 same pairs" in said
    assert "1 of the same or swapped ones contradict; 1 of 12 pairs share a text" in said
    assert "validation against train: 0 same pairs" in said


def test_no_more_than_the_top_are_listed(artefact, tmp_path):
    train, test = pairs(12, 1), pairs(12, 1)
    files = [write_csv(table, tmp_path / f"{name}.csv") for name, table in (("train", train), ("test", test))]
    words = ["--model", str(artefact), "--train", files[0], "--test", files[1]]
    assert main(["errors", *words, "--top", "1", "--output", str(tmp_path / "one")]) == 0
    assert main(["errors", *words, "--top", "2", "--output", str(tmp_path / "two")]) == 0
    counts = {
        name: [len(rows_of(tmp_path / top / f"{name}.csv")) for top in ("one", "two")] for name in ("mistakes", "leaks")
    }
    assert counts == {"mistakes": [1, 2], "leaks": [2, 4]}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "Give --model, or two of"),
        (["--test", "x.csv"], "Give --model, or two of"),
        (["--model", "x", "--test", "x.csv"], "give a second one"),
        (["--train", "a.csv", "--test", "b.csv", "--pairs", "c.csv"], "which is missing"),
        (["--model", "x", "--top", "0"], "--top must be"),
        (["--train", "a.csv", "--test", "b.csv", "--near", "80"], "--near must lie"),
    ],
)
def test_what_is_missing_is_said(words, error, capsys):
    assert main(["errors", *words]) == 1
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pairs", "relabelled", "output"])
def test_a_merge_names_what_it_lacks(name, capsys):
    words = [word for other in ("pairs", "relabelled", "output") if other != name for word in (f"--{other}", "x")]
    assert main(["data", "merge", *words]) == 1
    assert f"--{name} is missing" in capsys.readouterr().err


def test_splits_are_read_before_a_model_answers_and_may_lack_texts(artefact, files, tmp_path, monkeypatch, capsys):
    (tmp_path / "train.csv").write_text("text_a,text_b,label\na, ,0\nb c,d e,1\n", encoding="utf-8")
    monkeypatch.setattr("flipkd.matching.answered.Matcher.from_pretrained", None)
    words = ["errors", "--train", str(tmp_path / "train.csv"), "--test", files["test"]]
    assert main([*words, "--model", str(artefact), "--pairs", files["test"]]) == 1
    assert "--empty drop" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--empty", "drop"]) == 0


@pytest.mark.parametrize("text", ["café ", "für"])
def test_a_list_that_a_spreadsheet_saved_in_another_encoding_is_merged(tmp_path, capsys, text):
    """The second one's bytes are also those of Chinese characters."""
    source, listed, output = (str(tmp_path / name) for name in ("test.csv", "mistakes.csv", "new.csv"))
    row = f"{text}x,eine karte"
    (tmp_path / "test.csv").write_text(f"text_a,text_b,label\n{row},0\nb c,d e,1\n", encoding="utf-8")
    head = "text_a,text_b,label,new_label,why,source,line"
    (tmp_path / "mistakes.csv").write_bytes(f"{head}\n{row},0,1,,{source},2\n".encode("cp1252"))
    words = ["data", "merge", "--pairs", source, "--relabelled", listed, "--output", output]
    assert main(words) == 1
    said = " ".join(capsys.readouterr().err.split()).rpartition("mistakes.csv")[2]
    assert "--relabelled-encoding" in said
    assert " --encoding" not in said
    assert main([*words, "--relabelled-encoding", "cp1252"]) == 0
    assert read_pairs(output).label.tolist() == [1, 1]


def test_of_a_folder_the_lists_that_no_spreadsheet_saved_are_read_as_they_were_written(tmp_path):
    source, output = str(tmp_path / "test.csv"), str(tmp_path / "new.csv")
    (tmp_path / "test.csv").write_text("text_a,text_b,label\nfür,x,0\nwäre,y,1\n", encoding="utf-8")
    (tmp_path / "lists").mkdir()
    head = "text_a,text_b,label,new_label,why,source,line"
    for name, encoding, row in (("mistakes", "cp1252", "für,x,0,1,,{},2"), ("noise", "utf-8-sig", "wäre,y,1,0,,{},3")):
        (tmp_path / "lists" / f"{name}.csv").write_bytes(f"{head}\n{row.format(source)}\n".encode(encoding))
    words = ["data", "merge", "--pairs", source, "--relabelled", str(tmp_path / "lists"), "--output", output]
    assert main([*words, "--relabelled-encoding", "cp1252"]) == 0
    assert read_pairs(output).label.tolist() == [1, 0]
