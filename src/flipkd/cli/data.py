"""`flipkd data check`."""

from dataclasses import dataclass, field
from pathlib import Path

from flipkd.errors import FlipkdError


@dataclass
class Options:
    """Check a file of pairs before anything is trained on it."""

    file: str = field(default="", metadata={"first_word": True})
    """The file or hub data set; may stand as the first word, without its name."""
    against: dict[str, str] | None = None
    """Other splits by name, to find texts they share: --against.test test.csv."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The files' encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the files, where it is no comma (.csv) or tab (.tsv): one character."""
    labelled: bool = True
    """Whether the files have labels."""
    student: str = "smollm2-135m"
    """Whose tokens lengths are counted in."""
    max_text_tokens: int = 128
    """Where texts would be cut."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Print the report to standard output."""
    from rich.console import Console

    from flipkd.data.reader import read_pairs
    from flipkd.data.report import check
    from flipkd.data.table import PairTable
    from flipkd.student.loading import load_tokenizer
    from flipkd.student.template import token_ids

    if not options.file:
        raise FlipkdError("Which file? flipkd data check FILE")

    def read(file: str) -> PairTable:
        return read_pairs(
            file,
            labelled=options.labelled,
            columns=options.columns,
            encoding=options.encoding,
            delimiter=options.delimiter,
            empty="keep",
        )

    table = read(options.file)
    others = {name: read(file) for name, file in (options.against or {}).items()}
    tokenizer = load_tokenizer(options.student, cache_dir=Path(options.cache_dir).expanduser())

    def count_tokens(texts: list[str]) -> list[int]:
        return [len(ids) for ids in token_ids(tokenizer, texts)]

    Console(emoji=False).print(check(table, others, count_tokens, options.max_text_tokens).render())
