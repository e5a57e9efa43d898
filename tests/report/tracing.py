"""Reads a card or a report as a person with the artefact's folder beside it would: figure, file, key.

Nothing of flipkd.report is used: the files are looked up anew.
"""

import html
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser

import pyarrow.parquet as pq

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
ALLOWED = {"2507.05617"}
"""The paper."""
VOID = {"meta", "img", "br", "link", "hr", "input"}


def look_up(folder, source):
    """What stands in the artefact under ``file: key``."""
    file, _, key = source.partition(": ")
    path = folder / file
    if path.suffix == ".parquet":
        row, _, column = key.partition(".")
        return pq.read_table(path)[column][int(row)].as_py()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        line, _, key = key.partition(".")
        text = text.splitlines()[int(line) - 1]
    found = json.loads(text)
    for name in key.split("."):
        found = found[int(name)] if isinstance(found, list) else found[name]
    return found


def assert_traced(cells, folder):
    """Every cell shows what stands under its source, numbers rounded as they are shown."""
    assert len(cells) > 50
    for source, text in cells:
        value = look_up(folder, source)
        if isinstance(value, int | float) and not isinstance(value, bool):
            last_digit = Decimal(1).scaleb(Decimal(text).as_tuple().exponent)
            assert abs(Decimal(value) - Decimal(text)) <= last_digit / 2, (source, value, text)
        else:
            assert text == (value if isinstance(value, str) else json.dumps(value)), source


def untraced(text):
    """The numbers of a text that stands outside of the cells."""
    return sorted(set(NUMBER.findall(text)) - ALLOWED)


@dataclass
class Page(HTMLParser):
    """A report, parsed."""

    text: str
    cells: list = field(default_factory=list)
    """(source, text) of each cell with a figure."""
    wheres: list = field(default_factory=list)
    """What each row names as its source, and the sources of its cells."""
    prose: list = field(default_factory=list)
    """All other words that a reader sees or hears."""
    tags: list = field(default_factory=list)
    """(name, attributes) in order."""

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.row = [], []
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.prose += [value for name, value in attributes if name in ("alt", "aria-label")]
        if tag == "tr":
            self.row = []
        if tag == "td" and "title" in found:
            self.cells.append([found["title"], ""])
            self.row.append(found["title"])
        if tag not in VOID:
            self.open.append((tag, found))

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag

    def handle_data(self, data):
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag == "td" and "title" in attributes:
            self.cells[-1][1] += data
        elif attributes.get("class") == "where":
            self.wheres.append((data, list(self.row)))
        elif tag not in ("style", "code"):
            self.prose.append(data)


@dataclass
class Card:
    """A model card, parsed."""

    text: str
    cells: list = field(default_factory=list)
    prose: list = field(default_factory=list)

    def __post_init__(self):
        body = re.sub(r"\A---\n.*?\n---\n|```.*?```", "", self.text, flags=re.DOTALL)
        columns = None
        for line in body.splitlines():
            if not line.startswith("|"):
                columns = None
                self.prose.append(line)
                continue
            parts = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
            if columns is None:
                columns = [plain(part) for part in parts]
                assert columns[-1] == "where"
            elif set(line) != set("|-"):
                assert len(parts) == len(columns)
                self.prose.append(plain(parts[0]))
                self.cells += sources(columns[1:-1], parts[1:-1], parts[-1].strip("`"))


def sources(columns, parts, where):
    """(source, text) of the figures in a row: where is the whole source of a single value."""
    whole = columns == ["value"]
    return [
        (where if whole else f"{where}.{column}", plain(part))
        for column, part in zip(columns, parts, strict=True)
        if part != "-"
    ]


def plain(markdown):
    return html.unescape(re.sub(r"\\([\\`*_\[\]|~$#])", r"\1", markdown))
