"""`flipkd index add`: entries into an index that is there."""

from dataclasses import dataclass

from flipkd.cli.index import ModelOptions, open_index, require


@dataclass
class Options(ModelOptions):
    """Add entries to an index, and update those whose id it has. Unchanged ones are not encoded again."""

    index: str = ""
    """The index: its folder, or the URI of a Milvus server."""
    faq: str = ""
    """A file of entries, as for flipkd index build."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: id, question, answer."""
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the file, where it is no comma (.csv) or tab (.tsv): one character."""


def run(options: Options) -> None:
    """Read, compare, encode what is new, write."""
    from flipkd.console import announce
    from flipkd.retrieval.entries import read_entries

    require(options, "model", "index", "faq")
    entries = read_entries(options.faq, columns=options.columns, encoding=options.encoding, delimiter=options.delimiter)
    with open_index(options, options.index) as index:
        change = index.add(entries)
        announce("index", options.index, f"{change}; {len(index)} entries now")
