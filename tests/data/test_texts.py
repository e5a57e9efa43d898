"""Texts, one a line."""

import pytest

from flipkd.data.reader import read_texts
from flipkd.errors import FlipkdError


def write(path, content):
    path.write_bytes(content.encode())
    return str(path)


def test_texts_one_a_line(tmp_path):
    path = write(tmp_path / "texts.txt", "\ufeffNA\r\n\r\n  \n 007 \n\u200b\nlast")
    assert read_texts(path) == ["NA", " 007 ", "last"]


@pytest.mark.parametrize(("name", "content"), [("x.txt", " \n"), ("x.csv", "text_a,text_b\na,b\n"), ("x.json", "[1]")])
def test_texts_refuse_other_files(tmp_path, name, content):
    with pytest.raises(FlipkdError, match=r"one (text )?a line"):
        read_texts(write(tmp_path / name, content))
    with pytest.raises(FlipkdError, match="no such file"):
        read_texts(str(tmp_path / "gone.txt"))


@pytest.mark.parametrize("content", ["2026\tI lost my card\n" * 3, '{"q": "I lost my card"}\n', "[\n {}\n"])
def test_lines_that_seem_to_be_records_are_said(tmp_path, capsys, content):
    read_texts(write(tmp_path / "x.log", content))
    assert "most seem to be records" in " ".join(capsys.readouterr().err.split())
