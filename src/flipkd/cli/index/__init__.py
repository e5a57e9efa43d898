"""`flipkd index`: options that its commands share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from flipkd.matching.matcher import Matcher
    from flipkd.retrieval.engine import Place
    from flipkd.retrieval.index import FaqIndex


@dataclass
class IndexOptions:
    """Which index."""

    collection: str = "faq"
    """The index's name in its folder or on its server."""
    token_file: str | None = None
    """A file that holds the token of a Milvus server that asks for one."""


@dataclass
class ModelOptions(IndexOptions):
    """Which index, and the artefact of its vectors."""

    model: str = ""
    """The artefact: the --output of a finished run."""
    batch_tokens: int = 1024
    """Tokens of a batch."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


@dataclass
class SearchOptions(ModelOptions):
    """As above, and how to search."""

    index: str = ""
    """The index: its folder, or the URI of a Milvus server."""
    first_stage: Literal["dense", "bm25", "hybrid"] | None = None
    """How candidates are found: by their vectors, by their words, or by both; by default as the index was built."""
    candidates: int | None = None
    """How many of them the decoder verifies; by default as the index was built."""
    policy: str | None = None
    """Another threshold policy than the artefact's, kept on its validation pairs: f1, accuracy, precision=P, recall=R,
    cost=A:B (a false match costs A, a missed one B) or bands=P:Q (accept at precision P, reject at precision Q, review
    in between)."""
    prior: float | None = None
    """The share of matches among the pairs of a query and a candidate, where it is another than in validation:
    probabilities and thresholds are re-weighted to it."""


def require(options: object, *names: str) -> None:
    """Check that options are given.

    Raises:
        FlipkdError: If one is missing.
    """
    for name in names:
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")


def place_of(options: IndexOptions, path: str) -> "Place":
    """Where the options say the index is.

    Raises:
        FlipkdError: If the file of the token is missing.
    """
    from flipkd.retrieval.engine import Place, read_token

    return Place(path, options.collection, read_token(options.token_file))


def load(options: ModelOptions, *, policy: str | None = None, prior: float | None = None) -> "Matcher":
    """The artefact, perhaps with another policy or prior than its own."""
    from flipkd.matching.matcher import Matcher

    return Matcher.from_pretrained(
        options.model, device=options.device, cache_dir=options.cache_dir, policy=policy, prior=prior
    )


def open_index(
    options: ModelOptions, path: str, *, policy: str | None = None, prior: float | None = None
) -> "FaqIndex":
    """The index, with its artefact; that it is there, and whole, is checked before a model is loaded."""
    from flipkd.retrieval.engine import require_index
    from flipkd.retrieval.index import FaqIndex

    place = place_of(options, path)
    require_index(place)
    matcher = load(options, policy=policy, prior=prior)
    return FaqIndex.open(place, matcher, batch_tokens=options.batch_tokens)
