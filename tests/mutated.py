"""Files of pairs, damaged at random: each is read as an independent reading finds it, or refused by name."""

import csv
import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import independent
from flipkd.data.encoding import packed
from flipkd.data.labels import label_of
from flipkd.data.reader import read_pairs
from flipkd.errors import FlipkdError

HEADER = ["text_a", "text_b", "label"]
TEXTS = [
    "NA",
    "how to pay",
    '5" screen',
    "a,b",
    " x ",
    "你好",
    "忘记密码怎么办",
    "é",
    "\u200bzero",
    "tab\there",
    "it's",
    "007",
    "no",
    "two\nlines",
    'all "of", it',
]
BYTES = [
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"\\",
    b"\xe4\xbd",
    b"1",
]


def drawn(rng):
    """A valid file: its ending, its content, its rows."""
    ending, encoding = (
        rng.choice(["csv", "tsv", "jsonl", "parquet"]),
        str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "gb18030"])),
    )
    rows = [[*map(str, rng.choice(TEXTS, 2)), str(rng.integers(2))] for _ in range(rng.integers(1, 6))]
    if encoding == "gb18030":
        rows = [[cell.replace("\u200b", "") for cell in row] for row in rows]
    if ending == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(zip(HEADER, map(list, zip(*rows, strict=True)), strict=True))), sink)
        return "parquet", bytes(sink.getvalue()), rows
    end = str(rng.choice(["\n", "\r\n"]))
    if ending == "csv":
        sink = io.StringIO()
        csv.writer(sink, lineterminator=end, quoting=int(rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))).writerows(
            [HEADER, *rows]
        )
        text = sink.getvalue()
    elif ending == "tsv":
        rows = [[re.sub(r"[\t\n]", " ", cell) for cell in row] for row in rows]
        text = "".join("\t".join(row) + end for row in [HEADER, *rows])
    else:
        dumps = [json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=bool(rng.integers(2))) for row in rows]
        text = "".join(line + end for line in dumps)
    return str(ending), text.encode(encoding), rows


def damaged(rng, content):
    """The content with one to three bytes or stretches of it changed, cut, doubled or put in."""
    for _ in range(rng.integers(1, 4)):
        at, upto = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        upto = min(upto, at + 8)
        new = {
            0: BYTES[rng.integers(len(BYTES))],
            1: b"",
            2: content[at:upto] * 2,
            3: bytes(rng.integers(0, 256, 1, dtype=np.uint8)),
        }[int(rng.integers(4))]
        content = content[:at] + new + content[upto if rng.integers(2) else at :]
    return content


def packed_as(rng, file, content):
    """Written under a name that says how it is packed."""
    if file.suffix != ".parquet":
        file = file.with_name(file.name + str(rng.choice(["", "", "", ".gz", ".zst"])))
    file.write_bytes(packed(str(file), content))
    return file


def check(rng, folder):
    """Damage a file, before it is packed or after, and read it. True if it was read, False if refused.

    Raises:
        AssertionError: If it is read as something else than is in it, or refused without its name and place.
    """
    ending, content, _ = drawn(rng)
    before = bool(rng.integers(3))
    file = packed_as(rng, folder / f"pairs.{ending}", damaged(rng, content) if before else content)
    if not before:
        file.write_bytes(damaged(rng, file.read_bytes()))
    data = file.read_bytes()
    try:
        table = read_pairs(str(file), empty="keep")
    except FlipkdError as error:
        said = str(error)
        whole = (
            "is empty",
            "no pairs in it",
            "columns",
            "is named",
            "column named",
            "no column",
            "is no label",
            "no parquet",
            "cut short or no",
        )
        assert file.name in said, said
        assert re.search(r"\b(line|row)s? \d+", said) or any(words in said for words in whole), said
        return False
    finally:
        file.unlink()
    assert set(table.label.tolist()) <= {0, 1}
    assert table.line == sorted(set(table.line))
    read = list(zip(table.line, table.text_a, table.text_b, table.label.tolist(), strict=True))
    there = [(*cells, label_of(label)) for *cells, label in independent.cells_of(file.name, data)]
    assert read == there, data
    return True
