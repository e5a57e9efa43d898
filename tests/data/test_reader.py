import csv
import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.data.reader import iter_pairs, read_pairs
from flipkd.errors import FlipkdError

TRICKY = ["NA", "None", "null", "nan", "n/a", "007", "1e5", 'say "hi"', "'", "a,b", " x ", "true", "é\u2028z", "=1+1"]
shown = st.one_of(st.sampled_from(TRICKY), st.text(min_size=1).filter(lambda text: any(c.isalnum() for c in text)))
rows = st.lists(st.tuples(shown, shown, st.sampled_from("01"), st.text()), min_size=1, max_size=12)
HEADER = ["text_a", "text_b", "label", "note"]


def as_csv(data):
    stream = io.StringIO()
    csv.writer(stream).writerows([HEADER, *data])
    return stream.getvalue().encode()


def as_tsv(data):
    return "\n".join("\t".join(cells) for cells in [HEADER, *data]).encode()


def as_jsonl(data):
    return "".join(json.dumps(dict(zip(HEADER, cells, strict=True))) + "\n" for cells in data).encode()


def as_parquet(data):
    sink = io.BytesIO()
    columns = dict(zip(HEADER, map(list, zip(*data, strict=True)), strict=True))
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def one_line(data):
    return [tuple("".join(c for c in cell if c not in "\t\r\n") or "x" for cell in cells) for cells in data]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize(
    ("ending", "form", "fit"),
    [
        ("csv", as_csv, list),
        ("tsv", as_tsv, one_line),
        ("jsonl", as_jsonl, list),
        ("parquet", as_parquet, list),
        ("csv.gz", as_csv, list),
    ],
)
def test_every_string_comes_back_as_it_was(tmp_path, ending, form, fit):
    path = tmp_path / f"x.{ending}"

    @given(rows)
    @settings(max_examples=60)
    def comes_back(data):
        data = fit(data)
        content = form(data)
        table = read_pairs(write(path, gzip.compress(content, 1) if ending.endswith("gz") else content), empty="keep")
        back = zip(table.text_a, table.text_b, map(str, table.label), table.extra["note"], strict=True)
        assert list(back) == [tuple(cells) for cells in data]

    comes_back()


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "n/a"])
def test_words_for_missing_stay_words(tmp_path, word):
    table = read_pairs(write(tmp_path / "x.csv", f"text_a,text_b,label\n{word},007,1\n"))
    assert (table.text_a, table.text_b) == ([word], ["007"])


def test_tsv_knows_no_quotes(tmp_path):
    content = 'text_a\ttext_b\tlabel\n"how to pay\tpay\t1\n5" screen\tscreen\t0\nx\ty\t0\n'
    assert read_pairs(write(tmp_path / "x.tsv", content)).text_a == ['"how to pay', '5" screen', "x"]


def test_csv_with_an_unbalanced_quote_is_an_error_that_names_the_line(tmp_path):
    content = 'text_a,text_b,label\nx,y,0\n"how to pay,pay,1\n5" screen,screen,0\n'
    with pytest.raises(FlipkdError, match=r"x\.csv.*line 3.*quotation mark"):
        read_pairs(write(tmp_path / "x.csv", content))


def test_lines_are_where_records_start(tmp_path):
    content = 'text_a,text_b,label\r\n"a\r\nb",c,1\r\n\r\nd,e,0\r\n'
    table = read_pairs(write(tmp_path / "x.csv", content))
    assert table.text_a == ["a\r\nb", "d"]
    assert table.line == [2, 5]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_byte_order_mark_and_windows_line_ends(tmp_path, ending):
    plain = {
        "csv": "text_a,text_b,label\r\na,b,1\r\n",
        "tsv": "text_a\ttext_b\tlabel\r\na\tb\t1\r\n",
        "jsonl": '{"text_a": "a", "text_b": "b", "label": 1}\r\n',
    }[ending]
    table = read_pairs(write(tmp_path / f"x.{ending}", "\ufeff" + plain))
    assert (table.text_a, table.text_b, table.label.tolist()) == (["a"], ["b"], [1])


def test_long_cells_are_read_whole(tmp_path):
    table = read_pairs(write(tmp_path / "x.csv", f"text_a,text_b,label\n{'x' * 200_000},b,1\n"))
    assert len(table.text_a[0]) == 200_000


def test_gb18030_pairs(tmp_path):
    path = write(tmp_path / "x.csv", "text_a,text_b,label\n你好,您好,是\n".encode("gb18030"))
    assert read_pairs(path).text_a == read_pairs(path, encoding="gbk").text_a == ["你好"]


def test_mapping_is_printed(tmp_path, capsys):
    read_pairs(write(tmp_path / "x.csv", "is_duplicate,question2,question1\n1,b,a\n"))
    heard = " ".join(capsys.readouterr().err.split())
    assert "question1 -> text_a, question2 -> text_b, is_duplicate -> label" in heard


def test_unlabelled_reading_does_not_parse_labels(tmp_path):
    table = read_pairs(write(tmp_path / "x.csv", "text_a,text_b,label\na,b,perhaps\n"), labelled=False)
    assert table.label is None
    assert table.extra == {"label": ["perhaps"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "", "empty"),
        ("x.jsonl", "\n", "empty"),
        ("x.csv", "text_a,text_b,label\n", "no pairs"),
        ("x.tsv", "text_a\ttext_b\tlabel", "no pairs"),
        ("x.csv", "text_a,text_b,label\na,b,1\na,b\n", "line 3: 2 cells, but the header has 3"),
        ("x.tsv", "text_a\ttext_b\tlabel\na\tb\tc\t1\n", "line 2: 4 cells, but the header has 3"),
        ("x.csv", "text_a,text_b,label\na,b,1\na,b,2\n", "line 3: '2'"),
        ("x.jsonl", '{"text_a": 7, "text_b": "b", "label": 1}\n', "line 1: column 'text_a' holds 7"),
        ("x.jsonl", '\n{"text_a": "a", "text_b": "b"\n', "line 2: no JSON"),
        ("x.jsonl", '[{"text_a": "a"}]\n', "line 1: JSON, but no object"),
        ("x.jsonl", '[\n{"text_a": "a"}\n]\n', "line 1: no JSON.*no list around them"),
        (
            "x.jsonl",
            '{"text_a": "a", "text_b": "b", "text_a": "c"}\n',
            "line 1: no JSON .the key 'text_a' is there twice",
        ),
        ("x.jsonl", '{"text_a": "a", "text_b": "b", "label": 1, "w": NaN}\n', "line 1: no JSON .NaN is no value"),
        ("x.tsv", "text_a,text_b,label\na,b,1\n", "parted by another character"),
        ("x.tsv", "text_a\ttext_b\tlabel\ra\tb\t1\r", "line 1: a carriage return inside the line"),
        ("x.jsonl", '{"text_a": "\\ud83d", "text_b": "b", "label": 1}\n', "line 1: half a surrogate"),
        ("x.parquet", b"text_a,text_b", "no parquet"),
        ("x.xlsx", b"PK", "read from"),
        ("x.parquet.gz", b"", "read from"),
    ],
)
def test_malformed_files_are_named(tmp_path, name, content, message):
    with pytest.raises(FlipkdError, match=rf"{name}.*{message}"):
        read_pairs(write(tmp_path / name, content))


def test_jsonl_keys_may_come_late(tmp_path):
    lines = ['{"text_a": "a", "text_b": "b", "label": true}', '{"by": 5, "label": 0.0, "text_a": "c", "text_b": "d"}']
    table = read_pairs(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert table.label.tolist() == [1, 0]
    assert table.extra == {"by": ["", "5"]}


@pytest.mark.parametrize("empty", ["", " ", None, "\u200b", "\x00"])
def test_empty_texts_fail_or_go_or_stay(tmp_path, capsys, empty):
    records = [("a", "b", 1), ("c", empty, None), ("d", "e", 0)]
    lines = [json.dumps({"text_a": a, "text_b": b, "label": y}) for a, b, y in records]
    path = write(tmp_path / "x.jsonl", "\n".join(lines))
    with pytest.raises(FlipkdError, match=r"x\.jsonl: .*empty or missing at line 2.*--empty drop"):
        read_pairs(path)
    kept = read_pairs(path, empty="drop")
    assert (kept.text_a, kept.line, kept.label.tolist()) == (["a", "d"], [1, 3], [1, 0])
    assert "1 of 3 pairs left out" in " ".join(capsys.readouterr().err.split())
    assert read_pairs(path, empty="keep", labelled=False).text_b == ["b", empty or "", "e"]


def test_a_bad_label_after_a_dropped_row_keeps_its_line(tmp_path):
    with pytest.raises(FlipkdError, match="line 4: 'perhaps'"):
        read_pairs(write(tmp_path / "x.csv", "text_a,text_b,label\na,b,1\na,,1\nc,d,perhaps\n"), empty="drop")


def test_nothing_left_after_dropping(tmp_path):
    with pytest.raises(FlipkdError, match="no pairs in it but those left out"):
        read_pairs(write(tmp_path / "x.csv", "text_a,text_b,label\na,,1\n"), empty="drop")


@pytest.mark.parametrize("label", [pa.array([True, False]), pa.array([1, 0], pa.int8()), pa.array([1.0, 0.0])])
def test_parquet_labels_of_any_type(tmp_path, label):
    path = tmp_path / "x.parquet"
    texts = pa.array(["a", "b"]).dictionary_encode()
    pq.write_table(pa.table({"label": label, "text_b": texts, "text_a": pa.array(["c", "d"], pa.large_string())}), path)
    table = read_pairs(str(path))
    assert (table.text_a, table.text_b, table.label.tolist()) == (["c", "d"], ["a", "b"], [1, 0])


def test_parquet_texts_must_be_strings(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text_a": ["a"], "text_b": [7], "label": [1]}), path)
    with pytest.raises(FlipkdError, match=r"x\.parquet, row 1: column 'text_b' holds 7.*cast"):
        read_pairs(str(path))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_chunks_add_up_to_the_whole(tmp_path, ending):
    data = [(f"a{n}", f"b{n}", str(n % 2), "") for n in range(23)]
    form = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet}[ending]
    path = write(tmp_path / f"x.{ending}", form(data))
    chunks = list(iter_pairs(path, labelled=True, chunk_rows=5))
    assert [len(chunk) for chunk in chunks] == [5, 5, 5, 5, 3]
    whole = read_pairs(path)
    assert [text for chunk in chunks for text in chunk.text_a] == whole.text_a == [row[0] for row in data]
    assert [line for chunk in chunks for line in chunk.line] == whole.line


def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for count in (8_000, 32_000):  # 3 and 12 MB
        path = write(tmp_path / "x.csv", "text_a,text_b\n" + f"{'a' * 190},{'b' * 190}\n" * count)
        tracemalloc.start()
        assert sum(len(chunk) for chunk in iter_pairs(path, chunk_rows=500)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl.gz", "gone.xlsx", "gone.txt", "gone.json"])
def test_missing_files_are_not_looked_for_on_the_hub(tmp_path, name):
    with pytest.raises(FlipkdError, match=f"{name}.*neither a file nor a data set.*no such file"):
        read_pairs(str(tmp_path / name))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FlipkdError, match="is no file"):
        read_pairs(str(tmp_path))


NUMBERED = {"text_a": "1", "text_b": "2", "label": "3"}


@pytest.mark.parametrize(("ending", "comma"), [("csv", ","), ("tsv", "\t")])
def test_a_file_without_a_header_is_read_by_numbers_first_line_included(tmp_path, capsys, ending, comma):
    file = tmp_path / f"pairs.{ending}"
    file.write_text("".join(comma.join(row) + "\n" for row in [("hi", "hello", "1"), ("pin", "card", "0")]))
    table = read_pairs(str(file), columns=NUMBERED)
    assert (table.text_a, table.label.tolist(), table.line) == (["hi", "pin"], [1, 0], [1, 2])
    assert "header: none" in capsys.readouterr().err


def test_numbers_that_are_names_are_names(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("3,1,2\n0,hi,hello\n")
    table = read_pairs(str(file), columns=NUMBERED)
    assert (table.text_a, table.text_b, table.label.tolist()) == (["hi"], ["hello"], [0])


@pytest.mark.parametrize("first", ["hi,hello,1", f"{'a long question ' * 4},hello"])
def test_a_pair_in_the_place_of_the_header_is_told_with_the_mend(tmp_path, first):
    file = tmp_path / "pairs.csv"
    file.write_text(f"{first}\n")
    with pytest.raises(FlipkdError, match=r"seems to be a pair already.*--columns.text_a 1"):
        read_pairs(str(file))


def test_a_label_column_called_match_is_a_name_and_no_label(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("left,right,match\nhi,hello,1\n")
    with pytest.raises(FlipkdError, match="no two columns have the names") as refused:
        read_pairs(str(file))
    assert "a pair already" not in str(refused.value)


@pytest.mark.parametrize("rows", [0, -1])
def test_fewer_than_one_row_at_a_time_is_refused(rows, tmp_path):
    (tmp_path / "pairs.csv").write_text("text_a,text_b\na,b\n")
    with pytest.raises(FlipkdError, match="at least one at a time"):
        next(iter_pairs(str(tmp_path / "pairs.csv"), chunk_rows=rows))
