"""Relabelled pairs go back into their file: only they change, or nothing is written."""

import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.data.merge import merge
from flipkd.data.reader import read_pairs
from flipkd.data.relabel import Relabelled
from flipkd.errors import FlipkdError


def decide(path, changes, **columns):
    """Decisions on some lines of a file, as a list of it would hold them."""
    table = read_pairs(str(path), empty="keep", columns=columns or None)
    at = {line: row for row, line in enumerate(table.line)}
    return [
        Relabelled(
            table.text_a[at[line]], table.text_b[at[line]], int(table.label[at[line]]), new, str(path), line,
            f"list.csv, line {number}",
        )
        for number, (line, new) in enumerate(changes.items(), start=2)
    ]  # fmt: skip


def merged(path, changes, **columns):
    output = path.with_name(f"new-{path.name}")
    found = merge(str(path), decide(path, changes, **columns), output, columns=columns or None)
    return found, output


QUOTED = (
    b'id,text_a,text_b,label,note\r\n007,"a, ""quoted""\nand broken",b,yes,\r\n\r\n'
    b"008, c ,d,no,NA\r\n009,e,f,yes,1.10\r\n010,g,h,no,last"
)


def test_every_byte_of_what_is_not_relabelled_stays(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(QUOTED)
    found, output = merged(path, {2: 0, 5: None, 7: 0})
    assert output.read_bytes() == (
        b'id,text_a,text_b,label,note\r\n007,"a, ""quoted""\nand broken",b,no,\r\n\r\n'
        b"009,e,f,yes,1.10\r\n010,g,h,no,last"
    )
    assert (found.relabelled, found.dropped, found.confirmed, found.rows) == ({2: (1, 0)}, (5,), 1, 3)
    assert path.read_bytes() == QUOTED


CELL = st.text(alphabet='ab,"\n\r\t 你', max_size=6)


@given(
    st.lists(st.tuples(CELL, CELL, st.sampled_from(["0", "1"]), CELL), min_size=2, max_size=8),
    st.lists(st.sampled_from([0, 1, None, "as it was"]), min_size=8, max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
@settings(max_examples=25)
def test_reading_the_new_csv_gives_the_old_pairs_with_the_new_labels(tmp_path_factory, rows, news, quoting):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    unique = [(f"{a}{number}", b, label, note) for number, (a, b, label, note) in enumerate(rows)]
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, quoting=quoting).writerows([("text_a", "text_b", "label", "note"), *unique])
    before = read_pairs(str(path), empty="keep")
    new = dict(zip(before.line[1:], news, strict=False))
    changes = {line: label for line, label in new.items() if label != "as it was"}
    if not changes:
        return
    after = read_pairs(str(merged(path, changes)[1]), empty="keep")
    kept = before.select([row for row, line in enumerate(before.line) if changes.get(line, 1) is not None])
    assert (after.text_a, after.text_b, after.extra) == (kept.text_a, kept.text_b, kept.extra)
    labels = zip(kept.line, kept.label.tolist(), strict=True)
    assert after.label.tolist() == [changes.get(line, label) for line, label in labels]


def test_tsv_and_its_quotation_marks(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b'q1\tq2\tduplicate\na "b\tc\t1\nd\te\t0\n\nf\tg\t0\n')
    _, output = merged(path, {2: 0, 3: None, 5: 1})
    assert output.read_bytes() == b'q1\tq2\tduplicate\na "b\tc\t0\n\nf\tg\t1\n'


def test_json_lines_keep_their_keys_types_and_escapes(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"text_a": "你好", "n": 1.5, "label": True, "text_b": "b"},
        {"text_a": "c", "text_b": "d", "label": False, "deep": {"x": [1, None]}},
    ]
    path.write_text(f"{json.dumps(lines[0], ensure_ascii=False)}\n{json.dumps(lines[1])}\n", encoding="utf-8")
    _, output = merged(path, {1: 0, 2: 1})
    read = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert read == [lines[0] | {"label": False}, lines[1] | {"label": True}]
    assert list(read[0]) == list(lines[0])
    assert "你好" in output.read_text(encoding="utf-8")


def test_json_lines_keep_how_numbers_are_spelled(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text_a": "a", "text_b": "b", "label": 1, "n": [1.10, 1e400, -0, 12345678901234567890.0]}\n')
    _, output = merged(path, {1: 0})
    assert output.read_text() == path.read_text().replace('"label": 1', '"label": 0')


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.bool_(), pa.string()])
def test_parquet_keeps_its_schema(tmp_path, kind):
    path = tmp_path / "pairs.parquet"
    label = ["yes", "no", "yes"] if kind == pa.string() else [1, 0, 1] if kind != pa.bool_() else [True, False, True]
    columns = {
        "text_a": ["a", "c", "e"],
        "text_b": ["b", "d", "f"],
        "label": pa.array(label, kind),
        "n": [1.5, None, 2],
    }
    pq.write_table(pa.table(columns).replace_schema_metadata({"made by": "hand"}), path)
    _, output = merged(path, {1: 0, 3: None})
    old, new = pq.read_table(path), pq.read_table(output)
    assert new.schema.equals(old.schema, check_metadata=True)
    assert new.column("n").to_pylist() == [1.5, None]
    assert read_pairs(str(output)).label.tolist() == [0, 0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gb18030"])
def test_the_encoding_and_its_mark_stay(tmp_path, encoding):
    path = tmp_path / "pairs.csv"
    text = "text_a,text_b,label\n花呗怎么还款,怎么还花呗,1\n你好,再见,0\n"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path.write_bytes((mark + text).encode(encoding))
    _, output = merged(path, {3: 1})
    assert output.read_bytes() == (mark + text.replace("再见,0", "再见,1")).encode(encoding)


def test_utf32_that_was_named_stays_utf32(tmp_path):
    path, output = tmp_path / "pairs.csv", tmp_path / "new.csv"
    text = "text_a,text_b,label\n你好,您好,1\n再见,不见,0\n"
    path.write_bytes(text.encode("utf-32"))
    decided = [Relabelled("再见", "不见", 0, 1, str(path), 3, "list.csv, line 2")]
    merge(str(path), decided, output, encoding="utf-32")
    assert output.read_bytes() == text.replace("不见,0", "不见,1").encode("utf-32")


def test_a_packed_file_stays_packed(tmp_path):
    path = tmp_path / "pairs.csv.gz"
    path.write_bytes(gzip.compress(b"text_a,text_b,label\na,b,1\nc,d,0\n"))
    output = tmp_path / "new.csv.gz"
    merge(str(path), decide(path, {2: 0}), output)
    assert gzip.decompress(output.read_bytes()) == b"text_a,text_b,label\na,b,0\nc,d,0\n"


def test_a_label_that_is_nowhere_yet_is_written_in_the_type_of_the_other(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"a": "x", "b": "y", "label": true}\n{"a": "p", "b": "q", "label": true}\n')
    _, output = merged(path, {1: 0})
    assert json.loads(output.read_text().splitlines()[0])["label"] is False


def test_columns_that_were_named_are_found_again(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("asked,known,same\na,b,1\nc,d,0\n")
    _, output = merged(path, {3: 1}, text_a="asked", text_b="known", label="same")
    assert output.read_text() == "asked,known,same\na,b,1\nc,d,1\n"


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("text_a,text_b,label\na,b,1\nc,d,0\na,b,1\n")
    return path


def refused(path, decided, output="new.csv"):
    with pytest.raises(FlipkdError) as error:
        merge(str(path), decided, path.with_name(output))
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
    return str(error.value)


def test_a_file_that_has_changed_since_is_refused(plain):
    decided = decide(plain, {3: 1})
    plain.write_text("text_a,text_b,label\na,b,1\nnew,d,0\na,b,1\n")
    assert "list.csv, line 2: this pair is not at line 3 of" in refused(plain, decided)
    plain.write_text("text_a,text_b,label\na,b,1\nc,d,1\na,b,1\n")
    assert "was labelled 0 when it was listed, and is 1 in" in refused(plain, decided)
    plain.write_text("text_a,text_b,label\na,b,1\n")
    assert "line 3" in refused(plain, decided)


def test_decisions_that_contradict_each_other_are_refused_with_both_places(plain):
    one, other = decide(plain, {3: 1}) + decide(plain, {3: None})
    second = Relabelled(**{**vars(other), "place": "list.csv, line 9"})
    assert "list.csv, line 9 and list.csv, line 2 give line 3" in refused(plain, [one, second])
    merge(str(plain), [one, one], plain.with_name("new.csv"))


def test_equal_pairs_must_not_end_with_different_labels(plain):
    assert "line 2: 0, line 4: 1" in refused(plain, decide(plain, {2: 0}))
    assert merge(str(plain), decide(plain, {2: 0, 4: None}), plain.with_name("new.csv")).rows == 2


def test_decisions_on_other_files_are_left_alone_and_counted(plain):
    (here,) = decide(plain, {3: 1})
    elsewhere = Relabelled(**{**vars(here), "source": "other.csv"})
    assert "they are for pairs of other.csv" in refused(plain, [elsewhere])
    found = merge(str(plain), [here, elsewhere], plain.with_name("new.csv"))
    assert (found.elsewhere, found.relabelled) == (1, {3: (0, 1)})


@pytest.mark.parametrize(
    ("output", "words"), [("new.tsv", "must end as"), ("new.csv.gz", "must end as"), ("pairs.csv", "is the file")]
)
def test_the_output_is_a_new_file_of_the_same_format(plain, output, words):
    assert words in refused(plain, decide(plain, {3: 1}), output)


def test_a_failure_while_writing_keeps_the_old_output(plain, monkeypatch):
    output = plain.with_name("new.csv")
    output.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("flipkd.data.rewrite._rewritten", fail)
    with pytest.raises(OSError, match="disk full"):
        merge(str(plain), decide(plain, {3: 1}), output)
    assert output.read_text() == "old"
    assert sorted(file.name for file in plain.parent.iterdir()) == ["new.csv", "pairs.csv"]


def test_not_everything_can_be_taken_out(plain):
    assert "every pair would be taken out" in refused(plain, decide(plain, dict.fromkeys((2, 3, 4))))
    assert np.array_equal(read_pairs(str(plain)).label, [1, 0, 1])


@pytest.mark.parametrize(("ending", "comma"), [("csv", ","), ("tsv", "\t")])
def test_the_first_line_of_a_file_without_a_header_is_a_pair_like_any_other(tmp_path, ending, comma):
    path = tmp_path / f"pairs.{ending}"
    path.write_text("".join(comma.join(row) + "\n" for row in [("hi", "hello", "yes"), ("pin", "card", "no")]))
    found, output = merged(path, {1: 0, 2: 1}, text_a="1", text_b="2", label="3")
    assert output.read_text() == "".join(
        comma.join(row) + "\n" for row in [("hi", "hello", "no"), ("pin", "card", "yes")]
    )
    assert found.relabelled == {1: (1, 0), 2: (0, 1)}


def test_a_list_whose_line_ends_a_spreadsheet_has_changed_finds_its_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b'text_a,text_b,label\r\n"one\r\ntwo",b,1\r\nc,d,0\r\n')
    decided = [replace(each, text_a="one\ntwo") for each in decide(path, {2: 0})]
    output = tmp_path / "new.csv"
    merge(str(path), decided, output)
    assert output.read_bytes() == b'text_a,text_b,label\r\n"one\r\ntwo",b,0\r\nc,d,0\r\n'
