"""An artefact's files as its report reads them: every value with the file and the key it comes from."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipkd.errors import FlipkdError
from flipkd.matching.artefact import SPEC_FILE

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Shown:
    """A value as the reader sees it, and where it can be looked up."""

    text: str
    """As in the file, but for numbers that are rounded."""
    file: str
    """Relative to the artefact."""
    key: str
    """The names on the way to the value, joined by dots: a place in a list from 0; of JSON lines, the line from 1; of
    parquet, the row from 0 and then its column."""
    number: bool
    """Whether it is one."""

    @property
    def source(self) -> str:
        """File and key."""
        return f"{self.file}: {self.key}"


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    cells: tuple[Shown | None, ...]
    """None where the file holds no such value."""
    where: str
    """File and key; of several cells, the key they have in common: the column's name is the rest."""


@dataclass(frozen=True)
class Table:
    """Figures that belong together."""

    caption: str
    source: str
    """Where its rows come from, or would."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: str = ""
    """What is said without rows; by default that the artefact does not hold them."""


class Records:
    """The files of one artefact, each read once.

    Args:
        folder: The artefact.

    Raises:
        FlipkdError: If it is none.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / SPEC_FILE).is_file():
            raise FlipkdError(
                f"{folder} is no flipkd artefact: it has no {SPEC_FILE}. Give the --output of a finished run."
            )
        self.folder = folder
        self._read: dict[str, Any] = {}

    def value(self, file: str, *path: str) -> Any:
        """What stands in a JSON file, or in a file of JSON lines, under a path; None where nothing does.

        Args:
            file: Relative to the artefact.
            path: The names on the way; the whole file without any.

        Raises:
            FlipkdError: If the file is damaged.
        """
        if file not in self._read:
            self._read[file] = self._load(file)
        found = self._read[file]
        for name in path:
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                return None
        return found

    def mapping(self, file: str, *path: str) -> dict[str, Any]:
        """What stands there if it is a mapping, else an empty one."""
        found = self.value(file, *path)
        return found if isinstance(found, dict) else {}

    def number(self, file: str, *path: str) -> float | None:
        """What stands there if it is a number, else None."""
        found = self.value(file, *path)
        return found if is_number(found) else None

    def show(self, file: str, path: Sequence[str], form: str = "") -> Shown | None:
        """A value for the reader; None where nothing stands there.

        Args:
            file: Relative to the artefact.
            path: The names on the way.
            form: How a number is written, such as ``.3f``.
        """
        found = self.value(file, *path)
        return None if found is None else shown(found, file, path, form)

    def picture(self, file: str) -> str | None:
        """A PNG file as a data URI; None where it is not there, is none, or is a link out of the artefact."""
        path = self.folder / file
        own = path.resolve().is_relative_to(self.folder.resolve())
        content = path.read_bytes() if own and path.is_file() else b""
        return "data:image/png;base64," + base64.b64encode(content).decode() if content.startswith(PNG) else None

    def _load(self, file: str) -> Any:
        path = self.folder / file
        if not path.is_file():
            return None
        try:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".jsonl":
                lines = enumerate(text.split("\n"), start=1)
                return {str(number): json.loads(line, parse_int=_integer) for number, line in lines if line.strip()}
            return json.loads(text, parse_int=_integer)
        except (ValueError, OverflowError, RecursionError) as error:
            raise FlipkdError(
                f"{path} is damaged ({error}). Take the artefact from where it came once more."
            ) from error


def _integer(digits: str) -> int:
    """An integer that is written as a float is, too, for which it must not be too large."""
    number = int(digits)
    float(number)
    return number


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any, file: str, path: Sequence[str], form: str = "") -> Shown:
    """A value for the reader; arguments as for `Records.show`, and the value itself."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if is_number(value):
        text = format(value, form)
    return Shown(text, file, ".".join(path), is_number(value))


def facts(records: Records, caption: str, file: str, entries: Iterable[tuple[str, Sequence[str], str]]) -> Table:
    """A table of one value a row.

    Args:
        records: The artefact.
        caption: What the table is called.
        file: Where all its values come from.
        entries: Of each row its name, the path of its value, and the form of a number; rows without a value are left
            out.
    """
    found = ((name, records.show(file, path, form)) for name, path, form in entries)
    rows = tuple(Row(name, (cell,), cell.source) for name, cell in found if cell is not None)
    return Table(caption, file, ("value",), rows)


def grid(
    records: Records, caption: str, file: str, rows: Iterable[tuple[str, Sequence[str]]], columns: Mapping[str, str]
) -> Table:
    """A table of several values a row.

    Args:
        records: The artefact.
        caption: What the table is called.
        file: Where all its values come from.
        rows: Of each row its name and the path its values have in common; rows without any are left out.
        columns: The last name of each value's path, and the form of a number.
    """
    made = []
    for name, path in rows:
        cells = tuple(records.show(file, [*path, column], form) for column, form in columns.items())
        if any(cell is not None for cell in cells):
            made.append(Row(name, cells, f"{file}: {'.'.join(path)}"))
    return Table(caption, file, tuple(columns), tuple(made))


def leaves(found: Mapping[str, Any], path: Sequence[str] = ()) -> Iterable[tuple[str, ...]]:
    """The paths of a mapping's values, through mappings inside it.

    Args:
        found: The mapping.
        path: Where it stands.
    """
    for name, value in found.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)
