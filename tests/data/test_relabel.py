"""Lists for relabelling: what is written, and what comes back."""

import csv
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.data.reader import read_pairs
from flipkd.data.relabel import Listed, read_relabelled, write_list
from flipkd.errors import FlipkdError

PAIRS = [
    Listed('a "quoted"\ntext', " b ", 1, "some dir/train.csv", 17, "because", {"probability": "0.25"}),
    Listed("你好", "=1+1", 0, "train.csv", 2, "because, too", {"probability": "0.9"}),
    Listed("c\rc", "d", 0, "train.csv", 3, "why not", {"probability": "0.8"}),
]


@pytest.fixture
def fill(tmp_path):
    """Writes the list and fills in new labels, as a spreadsheet would."""

    def make(*new, name="list.csv", delimiter=","):
        file = tmp_path / name
        write_list(file, PAIRS)
        with file.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.reader(handle))
        for row, label in zip(rows[1:], new, strict=True):
            row[3] = label
        with file.open("w", newline="", encoding="utf-8-sig") as handle:
            csv.writer(handle, delimiter=delimiter).writerows(rows)
        return file

    return make


def test_a_list_is_a_file_of_pairs(tmp_path):
    write_list(tmp_path / "new" / "list.csv", PAIRS)
    table = read_pairs(str(tmp_path / "new" / "list.csv"))
    assert table.text_a == [pair.text_a for pair in PAIRS]
    assert table.text_b == [" b ", "'=1+1", "d"]  # which a spreadsheet would compute
    assert table.label.tolist() == [1, 0, 0]
    assert list(table.extra) == ["new_label", "why", "source", "line", "probability"]
    assert table.extra["new_label"] == ["", "", ""]


def test_what_is_filled_in_comes_back_and_nothing_else(fill):
    found = read_relabelled(fill("no", "", " Drop "))
    assert [(pair.text_a, pair.label, pair.new_label, pair.source, pair.line) for pair in found] == [
        (PAIRS[0].text_a, 1, 0, "some dir/train.csv", 17),
        ("c\rc", 0, None, "train.csv", 3),
    ]
    # The record of the first pair is on two lines.
    assert [pair.place.rpartition("/")[2] for pair in found] == ["list.csv, line 2", "list.csv, line 5"]


def test_a_list_begins_with_a_byte_order_mark(tmp_path):
    write_list(tmp_path / "list.csv", PAIRS)
    assert (tmp_path / "list.csv").read_bytes().startswith(b"\xef\xbb\xbftext_a,")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_list_may_come_back_with_the_delimiter_of_another_country(delimiter, fill):
    found = read_relabelled(fill("0", "1", "", delimiter=delimiter))
    assert [(pair.text_a, pair.text_b, pair.new_label) for pair in found] == [
        (PAIRS[0].text_a, " b ", 0),
        ("你好", "=1+1", 1),
    ]


@given(st.text(alphabet="'=+-@\t\r\n＝a", max_size=6))
def test_no_text_of_a_list_is_computed_and_each_comes_back(text):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "list.csv"
        write_list(file, [Listed(text, "b", 1, text, 1, text)])
        with file.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.reader(handle))
        assert not any(cell[:1] in tuple("=+-@\t\r\n＝") for cell in rows[1] if cell)
        rows[1][3] = "0"
        with file.open("w", newline="", encoding="utf-8-sig") as handle:
            csv.writer(handle).writerows(rows)
        (found,) = read_relabelled(file)
    assert (found.text_a, found.source) == (text, text)


def test_a_folder_is_all_its_lists(fill):
    fill("0", "", "")
    folder = fill("", "1", "", name="other.csv").parent
    assert [pair.new_label for pair in read_relabelled(folder)] == [0, 1]


@pytest.mark.parametrize(("word", "said"), [("maybe", "new_label is 'maybe'"), ("0.5", "new_label is '0.5'")])
def test_what_is_no_label_is_named_with_file_and_line(fill, word, said):
    with pytest.raises(FlipkdError, match=rf"list\.csv, line 4: {said}"):
        read_relabelled(fill("", word, ""))


def test_a_list_without_decisions_or_columns_is_refused(fill, tmp_path):
    with pytest.raises(FlipkdError, match="no new label in it"):
        read_relabelled(fill("", " ", ""))
    other = tmp_path / "pairs.csv"
    other.write_text("text_a,text_b,label\na,b,1\n")
    with pytest.raises(FlipkdError, match="has no column 'new_label'"):
        read_relabelled(other)
    with pytest.raises(FlipkdError, match="no list of pairs"):
        read_relabelled(tmp_path / "nothing")
