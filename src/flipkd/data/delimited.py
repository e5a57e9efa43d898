"""CSV and TSV, read so that every cell stays the string it is."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from flipkd.console import announce
from flipkd.data.encoding import LONGEST, bare_name, lines_of, open_text
from flipkd.data.records import Records, batched
from flipkd.errors import FlipkdError
from flipkd.files import written_whole


def _csv_rows(stream: IO[str], path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST)
    reader = csv.reader(lines_of(stream, path), strict=True, delimiter=delimiter)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise FlipkdError(
            f"{path}, in the record that starts at line {start}: {error}. Most often a quotation mark is not "
            'balanced: a cell that holds one is written in quotes with the mark doubled ("5"" screen").'
        ) from error


def _tsv_rows(stream: IO[str], path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(lines_of(stream, path), start=1):
        bare = text.removesuffix("\n").removesuffix("\r")
        if bare:
            yield line, bare.split(delimiter)


def _even(rows: Iterator[tuple[int, list[str]]], width: int, path: str) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != width:
            raise FlipkdError(
                f"{path}, line {line}: {len(cells)} cells, but the header has {width}. "
                "Fill the missing cells; a text that holds the delimiter goes in quotes (CSV) or does without it (TSV)."
            )
        yield line, cells


def delimiter_of(path: str, asked: str | None) -> str:
    r"""What parts the cells of a delimited file.

    Args:
        path: The file; a name that is no .csv or .tsv has no delimiter.
        asked: The character the user names, a tab also as a backslash and a t; None for the ending's own: a comma
            in .csv, a tab in .tsv.

    Raises:
        FlipkdError: If it is not one character, one that cannot part cells, or the file is not delimited.
    """
    ending = Path(bare_name(path)).suffix
    if asked is None:
        return "\t" if ending == ".tsv" else ","
    if ending not in (".csv", ".tsv"):
        raise FlipkdError(f"{path}: --delimiter {asked!r} is for .csv and .tsv files alone. Leave it out.")
    delimiter = "\t" if asked == r"\t" else asked
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise FlipkdError(
            f"{path}: --delimiter {asked!r} cannot part cells. It must be exactly one character, such as ';' or '|', "
            r"and no quotation mark or line end; \t is a tab."
        )
    return delimiter


def numbered(first: Sequence[str], named: Sequence[str]) -> list[str] | None:
    """The columns counted from 1, where the first line is a record; None where it is the header.

    It is a record if all columns the user names are numbers, and not all of them are names in it.
    """
    if named and all(name.isdecimal() for name in named) and not set(named) <= set(first):
        return [str(number) for number in range(1, len(first) + 1)]
    return None


@contextmanager
def written_csv(file: Path, *, encoding: str = "utf-8") -> Iterator[Any]:
    """Give a writer of `csv` for a file that appears whole or not at all; `delimited_records` reads any text back.

    Args:
        file: Replaced, if it is there; its folder is made if need be.
        encoding: Of the file.
    """
    with written_whole(file) as partial, partial.open("w", encoding=encoding, newline="") as handle:
        # With lines that end in \n alone, csv would leave a lone \r inside a text without quotes.
        yield csv.writer(handle)


@contextmanager
def delimited_records(
    path: str, encoding: str | None, chunk_rows: int, *, delimiter: str, named: Sequence[str] = ()
) -> Iterator[Records]:
    """Open a CSV or TSV file.

    CSV is read strictly: cells may be in quotes and then hold commas, line ends and doubled quotes; one that
    begins with a quotation mark and is not closed, or goes on behind it, is an error. TSV knows no quotes at all:
    a line is a record, and a quotation mark is a character like any other. Blank lines are passed over in both.

    Args:
        path: The file, packed (.gz, .zst) or not.
        encoding: The encoding the user names, or None.
        chunk_rows: Records in a batch.
        delimiter: What parts its cells, from `delimiter_of`. The rules of quotation marks go by the ending.
        named: The columns the user names, as for `numbered`.

    Raises:
        FlipkdError: At once or while reading: nothing in the file, bad quoting, a record with more or fewer
            cells than the header, or an encoding that does not fit.
    """
    quoted = bare_name(path).endswith(".csv")
    # With newline="" csv itself sees the line ends, and keeps those inside a cell as they are.
    with open_text(path, encoding, newline="" if quoted else "\n") as stream:
        rows = _csv_rows(stream, path, delimiter) if quoted else _tsv_rows(stream, path, delimiter)
        line, header = next(rows, (0, None))
        if header is None:
            raise FlipkdError(f"{path} is empty. Its first line must name the columns.")
        if not quoted and any("\r" in cell for cell in header):
            raise FlipkdError(
                f"{path}, line {line}: a carriage return inside the line. Lines of a TSV end with a line feed; "
                "write the file with those line ends."
            )
        if numbers := numbered(header, named):
            announce("header", "none", f"columns are named by number, and the first line of {path} has no such names")
            rows = chain([(line, header)], rows)
            header = numbers
        yield Records(header, batched(_even(rows, len(header), path), chunk_rows), "line")
