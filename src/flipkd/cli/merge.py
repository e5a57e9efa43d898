"""`flipkd data merge`: new labels go back into the file they came from."""

from dataclasses import dataclass
from pathlib import Path

from flipkd.errors import FlipkdError

SHOWN = 20
"""How many changes are printed line by line."""


@dataclass
class Options:
    """Take the new labels of relabelled lists back into the file of pairs they came from, as a new file."""

    pairs: str = ""
    """The file the pairs came from."""
    relabelled: str = ""
    """A list that flipkd errors wrote, its column new_label filled with 0, 1 or drop (as words, too) where something
    was decided; or the folder of all lists, which is merged at once."""
    output: str = ""
    """The file to write, of the same format; all that is not relabelled stays as it is."""
    overwrite: bool = False
    """Replace the output if it is there."""
    columns: dict[str, str] | None = None
    """Column names of --pairs where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The encoding of --pairs, where it is not found by itself."""
    relabelled_encoding: str | None = None
    """The encoding of the lists, where it is not found by itself: a spreadsheet may have saved them in another."""
    delimiter: str | None = None
    """What parts the cells of --pairs, where it is no comma (.csv) or tab (.tsv): one character."""


def run(options: Options) -> None:
    """Merge, and print what changed to standard output."""
    from rich.console import Console

    from flipkd.console import announce
    from flipkd.data.merge import merge
    from flipkd.data.relabel import read_relabelled

    for name in ("pairs", "relabelled", "output"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")
    output = Path(options.output)
    if output.exists() and not options.overwrite:
        raise FlipkdError(f"{output} is already there. Choose another --output, or --overwrite it.")
    try:
        decided = read_relabelled(Path(options.relabelled), options.relabelled_encoding)
    except FlipkdError as error:
        # The reader's words name the option as other commands have it; here that is the one of --pairs.
        raise FlipkdError(str(error).replace("--encoding", "--relabelled-encoding")) from error
    found = merge(
        options.pairs, decided, output, columns=options.columns, encoding=options.encoding, delimiter=options.delimiter
    )
    lines = [(line, f"line {line}: {was} -> {now}") for line, (was, now) in found.relabelled.items()]
    lines += [(line, f"line {line}: dropped") for line in found.dropped]
    console = Console(highlight=False, emoji=False)
    for _, shown in sorted(lines)[:SHOWN]:
        console.print(shown)
    if len(lines) > SHOWN:
        console.print(f"and {len(lines) - SHOWN} more")
    console.print(f"{len(found.relabelled)} relabelled, {len(found.dropped)} dropped, {found.confirmed} confirmed")
    if found.elsewhere:
        announce("left alone", f"{found.elsewhere} new labels", "their pairs come from other files")
    announce("written", output, f"{found.rows} pairs")
