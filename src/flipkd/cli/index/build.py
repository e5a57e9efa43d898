"""`flipkd index build`: a FAQ in, an index out."""

from dataclasses import dataclass
from typing import Literal

from flipkd.cli.index import ModelOptions, load, place_of, require


@dataclass
class Options(ModelOptions):
    """Build an index of a FAQ. It appears when it is whole."""

    faq: str = ""
    """A file with a question in each row, and if need be an id, an answer and further columns."""
    output: str = ""
    """The folder to make, or the URI of a Milvus server."""
    first_stage: Literal["dense", "bm25", "hybrid"] = "hybrid"
    """How candidates are found where a search does not say: by their vectors, by their words, or by both."""
    candidates: int = 20
    """How many of them the decoder verifies where a search does not say."""
    with_answer: bool = False
    """Embed and match the answer behind the question, too."""
    entry_first: bool = False
    """Make an entry text a of its pairs and the query text b. It matters to a directed artefact: take the side on which
    its training pairs had the entries."""
    analyzer: Literal["standard", "jieba"] | None = None
    """How BM25 parts texts into words; by default jieba where entries have Chinese characters."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: id, question, answer."""
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the file, where it is no comma (.csv) or tab (.tsv): one character."""
    overwrite: bool = False
    """Replace an index that is there."""


def run(options: Options) -> None:
    """Read, encode, write."""
    from flipkd.console import announce
    from flipkd.retrieval.engine import require_free
    from flipkd.retrieval.entries import read_entries
    from flipkd.retrieval.index import FaqIndex

    require(options, "model", "faq", "output")
    place = place_of(options, options.output)
    require_free(place, overwrite=options.overwrite)
    entries = read_entries(options.faq, columns=options.columns, encoding=options.encoding, delimiter=options.delimiter)
    index = FaqIndex.build(
        load(options),
        entries,
        place,
        first_stage=options.first_stage,
        candidates=options.candidates,
        with_answer=options.with_answer,
        entry_first=options.entry_first,
        analyzer=options.analyzer,
        overwrite=options.overwrite,
        batch_tokens=options.batch_tokens,
    )
    with index:
        announce("index", place, f"{len(index)} entries")
