"""The encoding of a text file: decided over the whole file, before a row of it is used.

Order: UTF-16 by its byte-order mark, strict UTF-8, and GB18030 last, because nearly any bytes pass for
GB18030 and valid UTF-8 must never be read as it.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import IO, BinaryIO, cast

from flipkd.console import announce
from flipkd.errors import FlipkdError

BLOCK = 1 << 20
"""Bytes read at a time."""
LONGEST = 1 << 24
"""Characters of the longest line of a text file, and of the longest cell of a CSV, which may hold line ends. No text
that is matched comes near it: it is a bound, so that a file without line ends, or with an unbalanced quotation mark,
is an error and does not eat the memory."""
UTF8_PROOF = 20
"""Characters beyond ASCII that are valid UTF-8 before the first that is not: from this many on the file is
damaged UTF-8, not GB18030. Single GB18030 characters can look like UTF-8; twenty in a row do not."""

_AMONG_LETTERS = re.compile(
    r"(?<![A-Za-z]|{x})(?:[A-Za-z]+({x})(?!{x})[A-Za-z]*|({x})(?!{x})[A-Za-z]+)".replace("{x}", r"[^\x00-\x7f]")
)
"""One character beyond ASCII that begins, ends or stands in a word of Latin letters."""


@dataclass(frozen=True)
class Fault:
    """The first place where a file is not valid in an encoding."""

    line: int
    wide: int
    """Characters beyond ASCII that were valid before it."""


def bare_name(path: str) -> str:
    """The name in lower case without the ending of a packed file, if it has one."""
    return path.lower().removesuffix(".gz").removesuffix(".zst")


@contextmanager
def open_bytes(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked if its name ends in ``.gz`` or ``.zst``.

    Raises:
        FlipkdError: While it is read, if it is not whole gzip or Zstandard.
    """
    if path.lower().endswith(".zst"):
        with _open_zst(path) as stream:
            yield stream
        return
    try:
        if path.lower().endswith(".gz"):
            with gzip.open(path, "rb") as packed:
                yield cast(BinaryIO, packed)
        else:
            with open(path, "rb") as stream:
                yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FlipkdError(f"{path}: cut short or no gzip file ({error}). Fetch or pack it again.") from error


@contextmanager
def _open_zst(path: str) -> Iterator[BinaryIO]:
    import pyarrow as pa

    # The file is opened first: what fails behind this is what is in it.
    with pa.OSFile(path) as file:
        try:
            with pa.CompressedInputStream(file, "zstd") as packed, io.BufferedReader(packed) as stream:
                yield cast(BinaryIO, stream)
        except OSError as error:
            raise FlipkdError(f"{path}: cut short or no Zstandard file ({error}). Fetch or pack it again.") from error


def packed(path: str, data: bytes) -> bytes:
    """Data as the file of this name holds them: packed where it ends in ``.gz`` or ``.zst``."""
    import pyarrow as pa

    if path.lower().endswith(".zst"):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return bytes(sink.getvalue())
    return gzip.compress(data) if path.lower().endswith(".gz") else data


def _wide(text: str) -> int:
    return 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))


def _fault(path: str, encoding: str) -> Fault | None:
    """The first place where a file is not valid in an encoding; None where there is none."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = wide = 0
    with open_bytes(path) as stream:
        while True:
            block = stream.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(error.encoding, "ignore")
                return Fault(lines + before.count("\n") + 1, wide + _wide(before))
            except UnicodeError:  # UTF-16 says no more of a file without its mark.
                return Fault(1, 0)
            if not block:
                return None
            lines += text.count("\n")
            wide += _wide(text)


def lines_of(stream: IO[str], path: str) -> Iterator[str]:
    """The lines of a text file with their ends, none of them longer than `LONGEST`.

    Args:
        stream: The open file.
        path: Its name, for errors.

    Raises:
        FlipkdError: At a longer line, of which no more than that is read.
    """
    for number in count(1):
        line = stream.readline(LONGEST + 1)
        if not line:
            return
        if len(line) > LONGEST:
            raise FlipkdError(
                f"{path}, line {number}: longer than {LONGEST} characters. Each record must be a line of its own; "
                "look for line ends that were lost."
            )
        yield line


def choose_encoding(path: str, asked: str | None) -> str:
    """The encoding to read a text file with.

    Args:
        path: The file, packed or not.
        asked: The encoding the user names; None to decide by the file.

    Returns:
        A name for `open`; a UTF-8 byte-order mark is left out by it.

    Raises:
        FlipkdError: If the file is not valid in the encoding asked for, or in any that is tried.
    """
    if asked is not None:
        try:
            "".encode(asked)
        except LookupError as error:
            raise FlipkdError(f"{error}. Names that work: utf-8, utf-16, gb18030, cp1252.") from error
        chosen = "utf-8-sig" if codecs.lookup(asked).name == "utf-8" else asked
        fault = _fault(path, chosen)
        if fault is not None:
            raise FlipkdError(
                f"{path}, line {fault.line}: not valid {asked}. Leave --encoding out to let the file decide, "
                "or name the encoding it was written in; of UTF-16 without a byte-order mark, utf-16-le or utf-16-be."
            )
        return chosen
    with open_bytes(path) as stream:
        marked = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    chosen = "utf-16" if marked else "utf-8-sig"
    fault = _fault(path, chosen)
    if fault is not None and not marked and fault.wide < UTF8_PROOF and _fault(path, "gb18030") is None:
        if (word := _latin_word(path)) is not None:
            raise FlipkdError(
                f"{path}, line {fault.line}: no UTF-8. As GB18030 it has words such as {word!r}, so it seems to be of "
                "another encoding. Name it: --encoding cp1252 (Western Europe), or --encoding gb18030."
            )
        announce("encoding", "gb18030", f"{path} is not UTF-8 from line {fault.line} on; --encoding names another")
        return "gb18030"
    if fault is not None:
        raise FlipkdError(
            f"{path}, line {fault.line}: damaged {'UTF-16' if marked else 'UTF-8'}, or another encoding. "
            "Mend that line, or name the encoding with --encoding (such as cp1252)."
        )
    if marked:
        announce("encoding", "utf-16", f"{path} starts with its byte-order mark")
    return chosen


def _latin_word(path: str) -> str | None:
    """A word of Latin letters with a Chinese character in it, if most Chinese characters of a file stand in such words.

    GB18030 makes one character of an accented letter of cp1252 and the letter behind it.
    """
    inside = every = 0
    word = None
    with decoded(path, "gb18030", "") as stream:
        while part := stream.read(BLOCK):
            every += _wide(part)
            for found in _AMONG_LETTERS.finditer(part):
                both = (found[1] or found[2]).encode("gb18030")
                # The letter that was swallowed is the second of two bytes; of GB2312's own characters it is no letter.
                if len(both) == 2 and both[1:].isascii():
                    inside += 1
                    word = word or found[0]
    return word if 2 * inside > every else None


@contextmanager
def open_text(path: str, encoding: str | None, newline: str) -> Iterator[IO[str]]:
    r"""Open a text file in the encoding that `choose_encoding` gives it.

    Args:
        path: The file, packed or not.
        encoding: The encoding the user names, or None.
        newline: As for `open`: ``""`` parts lines at every line end, ``"\n"`` at that one alone.
    """
    with decoded(path, choose_encoding(path, encoding), newline) as text:
        yield text


@contextmanager
def decoded(path: str, chosen: str, newline: str) -> Iterator[IO[str]]:
    """Open a text file in an encoding that `choose_encoding` has given; once more for each reading of it."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=chosen, newline=newline) as text:
        yield text
