import pytest

from flipkd.cli.main import main
from flipkd.data import delimited, encoding
from flipkd.data.merge import merge
from flipkd.data.reader import read_pairs, read_texts
from flipkd.data.relabel import Relabelled
from flipkd.errors import FlipkdError
from flipkd.retrieval.entries import read_entries


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


@pytest.mark.parametrize("delimiter", [";", "|", "\t", r"\t", " ", "，"])
def test_a_csv_is_parted_by_the_character_that_is_named(tmp_path, delimiter):
    mark = "\t" if delimiter == r"\t" else delimiter
    rows = [["text_a", "text_b", "label"], [f'"x{mark}y"', "a,b", "1"]]
    path = write(tmp_path / "x.csv", "".join(mark.join(row) + "\n" for row in rows))
    table = read_pairs(path, delimiter=delimiter)
    assert (table.text_a, table.text_b, table.label.tolist()) == ([f"x{mark}y"], ["a,b"], [1])


def test_a_tsv_with_another_delimiter_still_knows_no_quotes(tmp_path):
    path = write(tmp_path / "x.tsv", 'text_a;text_b;label\n5" screen;"b\tc";0\n')
    table = read_pairs(path, delimiter=";")
    assert (table.text_a, table.text_b) == (['5" screen'], ['"b\tc"'])


@pytest.mark.parametrize("delimiter", ["", ";;", "tab", '"', "\n", "\r", "\0"])
def test_what_cannot_part_cells_is_refused(tmp_path, delimiter):
    path = write(tmp_path / "x.csv", "text_a,text_b,label\na,b,1\n")
    with pytest.raises(FlipkdError, match=r"x\.csv: --delimiter .* exactly one character"):
        read_pairs(path, delimiter=delimiter)


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson.gz", "x.parquet", "owner/name"])
def test_a_delimiter_is_refused_where_there_is_none(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if "/" not in name:
        write(tmp_path / name, "")
    with pytest.raises(FlipkdError, match=rf"{name}: --delimiter ';' is for .csv and .tsv files alone"):
        read_pairs(name, delimiter=";")


def test_entries_are_parted_by_it_too(tmp_path):
    path = write(tmp_path / "faq.csv", "id;question\na;How, then?\n")
    assert read_entries(path, delimiter=";")[0].question == "How, then?"


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_merged_file_keeps_its_delimiter(tmp_path, ending):
    path = write(tmp_path / f"x.{ending}", "text_a;text_b;label\na,a;b;1\nc;d;0\n")
    output = tmp_path / f"new.{ending}"
    merge(path, [Relabelled("a,a", "b", 1, 0, path, 2, "list")], output, delimiter=";")
    assert output.read_text() == "text_a;text_b;label\na,a;b;0\nc;d;0\n"


def test_the_command_line_takes_it(tmp_path, capsys):
    path = write(tmp_path / "x.csv", "text_a|text_b|label\na,b|c|1\n")
    assert main(["data", "check", path]) != 0
    assert main(["data", "check", path, "--delimiter", "|"]) == 0
    capsys.readouterr()
    assert main(["data", "check", path, "--delimiter", "||"]) != 0
    assert "exactly one character" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "long", "line"),
    [
        ("x.csv", "a,b,1\n" + "c," * 60, 3),
        ("x.tsv", "a\tb\t1\nc\td" + "d" * 99, 3),
        ("x.jsonl", '{"text_a": "' + "a" * 99, 1),
        ("x.csv", 'a,b,1\n"' + "c\n" * 60, 3),
    ],
)
def test_a_line_or_cell_without_end_is_refused_with_its_line(tmp_path, monkeypatch, name, long, line):
    monkeypatch.setattr(encoding, "LONGEST", 99)
    monkeypatch.setattr(delimited, "LONGEST", 99)
    header = {"x.csv": "text_a,text_b,label\n", "x.tsv": "text_a\ttext_b\tlabel\n"}.get(name, "")
    with pytest.raises(FlipkdError, match=rf"x\.\w+, .*line {line}: .*(longer than 99|larger than field limit)"):
        read_pairs(write(tmp_path / name, header + long))


def test_a_text_of_the_longest_line_is_read_and_a_longer_one_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "LONGEST", 99)
    assert read_texts(write(tmp_path / "x.txt", "a\n" + "b" * 98 + "\n"))[1] == "b" * 98
    with pytest.raises(FlipkdError, match=r"x\.txt, line 2: longer than 99"):
        read_texts(write(tmp_path / "x.txt", "a\n" + "b" * 100))
