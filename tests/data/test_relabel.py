"""Lists for relabelling: what is written, and what comes back."""

import csv

import pytest

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

    def make(*new, name="list.csv"):
        file = tmp_path / name
        write_list(file, PAIRS)
        with file.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        for row, label in zip(rows[1:], new, strict=True):
            row[3] = label
        with file.open("w", newline="", encoding="utf-8-sig") as handle:
            csv.writer(handle).writerows(rows)
        return file

    return make


def test_a_list_is_a_file_of_pairs(tmp_path):
    write_list(tmp_path / "new" / "list.csv", PAIRS)
    table = read_pairs(str(tmp_path / "new" / "list.csv"))
    assert table.text_a == [pair.text_a for pair in PAIRS]
    assert table.text_b == [pair.text_b for pair in PAIRS]
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
