"""Files of pairs read a second time, the plain way: bytes unpacked whole, text split, cells by name."""

import codecs
import csv
import io
import json
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from flipkd.data.columns import LABELS


def unpacked(name, data):
    """The bytes inside a packed file; more than one member or frame may follow each other."""
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    if not name.endswith(".gz"):
        return data
    whole = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        whole += member.decompress(data)
        assert member.eof
        data = member.unused_data.lstrip(b"\0")
    return whole


def _text(data):
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030")


def _records(name, data):
    """Line and cells by column of each record."""
    if name.endswith(".parquet"):
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        return list(enumerate(rows, start=1))
    text = _text(unpacked(name, data))
    if ".jsonl" in name:
        lines = enumerate(text.split("\n"), start=1)
        return [(line, json.loads(row)) for line, row in lines if row.strip()]
    if ".tsv" in name:
        lines = [(line, row.removesuffix("\r")) for line, row in enumerate(text.split("\n"), start=1)]
        rows = [(line, row.split("\t")) for line, row in lines if row]
    else:
        reader, rows, start = csv.reader(io.StringIO(text, newline="")), [], 1
        for cells in reader:
            rows += [(start, cells)] if cells else []
            start = reader.line_num + 1
    (_, header), *rows = rows
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in rows]


def cells_of(name, data):
    """Line, both texts and the label as written, of each pair."""
    found = []
    records = _records(name, data)
    # The columns are those of the whole file: an object may lack keys that others have.
    keys = dict.fromkeys(key for _, record in records for key in record)
    plain = {"".join(c for c in key.casefold() if c not in "_-" and not c.isspace()): key for key in keys}
    for line, record in records:
        texts = [record.get(plain.get(role, plain.get(role[-1]))) or "" for role in ("texta", "textb")]
        found.append((line, *texts, record.get(next(plain[role] for role in LABELS if role in plain))))
    return found
