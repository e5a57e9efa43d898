import gzip

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.data.encoding import BLOCK, choose_encoding, open_bytes, open_text, packed
from flipkd.data.reader import read_pairs
from flipkd.errors import FlipkdError

TEXT = "text_a,text_b,label\n你好,您好,1\n"


def read(path, encoding=None):
    with open_text(str(path), encoding, newline="\n") as stream:
        return stream.read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_each_encoding_is_told(tmp_path, encoding, ending):
    path = tmp_path / f"x.{ending}"
    data = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    assert read(path) == TEXT


def test_big_endian_utf16_is_told(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(("\ufeff" + TEXT).encode("utf-16-be"))
    assert read(path) == TEXT


@pytest.mark.parametrize(("encoding", "said"), [("gb18030", "gb18030"), ("utf-16", "utf-16"), ("utf-8", "")])
def test_a_choice_is_said_aloud(tmp_path, capsys, encoding, said):
    path = tmp_path / "x.csv"
    path.write_bytes(TEXT.encode(encoding))
    choose_encoding(str(path), None)
    assert said in (heard := capsys.readouterr().err)
    assert bool(heard) == bool(said)


@given(st.text().map(lambda text: text.removeprefix("\ufeff")))
def test_utf8_is_never_read_as_another(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "utf8.csv"
    path.write_bytes(text.encode())
    assert read(path) == text


def test_utf8_that_straddles_blocks(tmp_path):
    path = tmp_path / "x.csv"
    text = "a" + "好" * (BLOCK // 2)
    path.write_bytes(text.encode())
    assert read(path) == text


def test_damaged_utf8_is_not_taken_for_gb18030(tmp_path):
    path = tmp_path / "x.csv"
    # Two bytes are missing in the middle of a character: what is left is also valid GB18030.
    data = ("你好吗" * 10 + "\n你好").encode()[:-2] + "很好".encode("gb18030")
    data.decode("gb18030", "strict")
    path.write_bytes(data)
    with pytest.raises(FlipkdError, match=r"x\.csv, line 2: damaged UTF-8.*--encoding"):
        choose_encoding(str(path), None)


def test_neither_utf8_nor_gb18030(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("a,b\ncaf\xe9,\xe9\n".encode("latin-1"))
    with pytest.raises(FlipkdError, match=r"line 2"):
        choose_encoding(str(path), None)
    assert read(path, "latin-1") == "a,b\ncaf\xe9,\xe9\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [("Wie ändere ich die Gebühr für meine Karte?", "鋘dere"), ("Ich habe die Gebühr schon bezahlt.", "Geb黨r")],
)
def test_latin_letters_are_not_taken_for_gb18030(tmp_path, text, word):
    """An accented letter and the one behind it are a valid Chinese character."""
    path = tmp_path / "x.csv"
    path.write_bytes(f"a,b\n{text},x\n".encode("cp1252"))
    with pytest.raises(FlipkdError, match=f"line 2: no UTF-8.*{word}.*--encoding cp1252"):
        choose_encoding(str(path), None)
    assert text in read(path, "cp1252")


@pytest.mark.parametrize(
    "text",
    [
        "我的Visa卡被吞了",
        "A类账户和B类账户有何区别",
        "T恤",
        "SIM卡",
        "I don’t know my PIN",
        "20°C",
        "·Login fails",
        "Köln",
    ],
)
def test_latin_words_in_chinese_are_gb18030(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_bytes(f"a,b\n{text},x\n".encode("gb18030"))
    assert choose_encoding(str(path), None) == "gb18030"


@pytest.mark.parametrize("encoding", ["ascii", "no-such-encoding", "base64"])
def test_an_encoding_that_does_not_fit_is_refused(tmp_path, encoding):
    path = tmp_path / "x.csv"
    path.write_bytes(TEXT.encode())
    with pytest.raises(FlipkdError, match="line 2|" + encoding):
        read(path, encoding)


def test_the_line_of_a_fault_in_utf16(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(("\ufeffa\nb\nc").encode("utf-16-be") + b"\xd8\x00")
    with pytest.raises(FlipkdError, match="line 3: damaged UTF-16"):
        choose_encoding(str(path), None)


@pytest.mark.parametrize("data", [gzip.compress(TEXT.encode() * 99, mtime=0)[:40], b"text_a,text_b\n"])
def test_bad_gzip_names_the_file(tmp_path, data):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(data)
    with pytest.raises(FlipkdError, match=r"x\.csv\.gz.*gzip"):
        read(path)


def as_zst(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_zstandard_is_unpacked_whatever_the_encoding(tmp_path, encoding):
    file = tmp_path / "pairs.csv.zst"
    file.write_bytes(as_zst("text_a,text_b,label\n你好,您好,1\n".encode(encoding)))
    assert read_pairs(str(file)).text_b == ["您好"]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"text_a,text_b"])
def test_bad_zstandard_names_the_file(tmp_path, damage):
    file = tmp_path / "pairs.csv.zst"
    file.write_bytes(damage(as_zst(b"text_a,text_b,label\na,b,1\n")))
    with pytest.raises(FlipkdError, match=r"pairs\.csv\.zst: cut short or no Zstandard file"):
        read_pairs(str(file))


def test_what_is_packed_for_a_name_is_unpacked_by_it(tmp_path):
    for ending in ("", ".gz", ".zst"):
        file = tmp_path / f"texts.txt{ending}"
        file.write_bytes(packed(str(file), b"one\ntwo\n"))
        with open_bytes(str(file)) as stream:
            assert stream.read() == b"one\ntwo\n"


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_json_lines_are_gone_through_twice_however_packed(tmp_path, ending):
    file = tmp_path / f"pairs.jsonl{ending}"
    lines = b'{"text_a": "a", "text_b": "b", "label": 1}\n{"by": "me", "text_a": "c", "text_b": "d", "label": 0}\n'
    file.write_bytes(packed(str(file), lines))
    table = read_pairs(str(file))
    assert (table.text_a, table.extra) == (["a", "c"], {"by": ["", "me"]})


@pytest.mark.parametrize("written", ["utf-16-le", "utf-8"])
def test_utf16_without_its_mark_is_refused_with_the_names_that_read_it(tmp_path, written):
    file = tmp_path / "pairs.csv"
    file.write_bytes("text_a,text_b\nhow,why\n".encode(written))
    with pytest.raises(FlipkdError, match=r"line 1: not valid utf-16.*utf-16-le or utf-16-be"):
        choose_encoding(str(file), "utf-16")
