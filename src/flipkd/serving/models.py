"""The artefacts that are served, by name, those over one base model sharing its weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.matching.artefact import ArtefactSpec, artefact_hash
from flipkd.matching.loading import load_base
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.engine import Place, read_token, require_index
from flipkd.retrieval.index import FaqIndex
from flipkd.retrieval.rates import announce_rate
from flipkd.serving.config import ServeConfig
from flipkd.serving.texts import Row
from flipkd.student.template import token_ids

Kind = Literal["match", "encode", "verify"]
Key = tuple[str, Kind]
"""What computes a row: an artefact's name, and which of its abilities."""


@dataclass(frozen=True)
class Counted:
    """The size of a request.

    Attributes:
        tokens: Of each row, the template's among them.
        cut: How many of its distinct texts are longer than the artefact reads.
        empty: The first row with a text of no token, if any.
    """

    tokens: list[int]
    cut: int
    empty: int | None


@dataclass(frozen=True)
class Served:
    """One artefact.

    Attributes:
        name: As clients call it.
        hash: Of its files, see `flipkd.matching.artefact.artefact_hash`.
        matcher: The artefact in use.
        index: What /search looks through, if anything.
    """

    name: str
    hash: str
    matcher: Matcher
    index: FaqIndex | None = None

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of texts, none cut."""
        return [len(ids) for ids in token_ids(self.matcher.student.tokenizer, texts)]

    def count(self, rows: Sequence[Row], of: Mapping[str, int]) -> Counted:
        """Tokens of rows.

        Args:
            rows: Pairs, or single texts.
            of: The tokens of each distinct text, see `lengths`.
        """
        template = self.matcher.student.template
        cap = template.max_text_tokens
        around = len(template.prefix)
        if rows and len(rows[0]) == 2:
            around += len(template.middle) + len(template.suffix)
        return Counted(
            tokens=[around + sum(min(of[text], cap) for text in row) for row in rows],
            cut=sum(length > cap for length in of.values()),
            empty=next((number for number, row in enumerate(rows) if not all(of[text] for text in row)), None),
        )

    def compute(self, kind: Kind, rows: Sequence[Any], *, batch_tokens: int, cascade: bool) -> Sequence[Any]:
        """An answer for each row: a `MatchResult`, or a (d,) float32 vector.

        Args:
            kind: What is asked.
            rows: Pairs to match, texts to encode, or pairs to verify, each with its similarity.
            batch_tokens: Tokens that are computed together.
            cascade: As for `Matcher.match_many`.
        """
        if kind == "match":
            return self.matcher.match_many(rows, batch_tokens=batch_tokens, cascade=cascade)
        if kind == "encode":
            return list(self.matcher.encode([text for (text,) in rows], batch_tokens=batch_tokens))
        text_a, text_b, similarity = zip(*rows, strict=True)
        return self.matcher.match_arrays(
            text_a, text_b, batch_tokens=batch_tokens, cascade=cascade, similarity=np.array(similarity)
        ).results()


def load_served(config: ServeConfig) -> dict[str, Served]:
    """Load all artefacts, the default one first.

    Raises:
        FlipkdError: If one cannot be loaded, cannot keep the policy or prior that is asked for, or has no band for the
            cascade.
    """
    from flipkd.device import choose_device

    folders, place = config.folders(), index_place(config)
    specs = {name: ArtefactSpec.read(folder) for name, folder in folders.items()}
    device, cache = choose_device(config.device), Path(config.cache_dir).expanduser()
    bases: dict[str, Any] = {}
    served: dict[str, Served] = {}
    for base, uses in Counter(spec.base_model for spec in specs.values()).items():
        if uses > 1:
            announce("base model", base, f"loaded once for {uses} artefacts, each with copies of what it changes")
            first = next(name for name, spec in specs.items() if spec.base_model == base)
            bases[base] = load_base(folders[first], specs[first], device=device, cache=cache)
    for name, folder in folders.items():
        try:
            matcher = Matcher.from_pretrained(
                folder,
                device=device,
                cache_dir=cache,
                int8=config.int8,
                base=bases.get(specs[name].base_model),
                policy=config.policy,
                prior=config.prior,
            )
        except FlipkdError as error:
            raise FlipkdError(f"Artefact {name}: {error}") from error
        if config.cascade:
            announce(f"cascade of {name}", "on", matcher.require_band().reason)
        index = None
        if place is not None and not served:
            index = FaqIndex.open(place, matcher, batch_tokens=config.batch_tokens)
            announce_rate(index, prior=config.prior)
        served[name] = Served(name, artefact_hash(folder), matcher, index)
        announce(f"artefact {name}", served[name].hash, f"threshold {matcher.answer.threshold:.3f}")
    return served


def index_place(config: ServeConfig) -> Place | None:
    """Where the index of the settings is, if there is one.

    Raises:
        FlipkdError: If there is no index at a local place, or no file with the token.
    """
    if not config.index:
        return None
    place = Place(config.index, config.index_collection, read_token(config.index_token_file))
    require_index(place)
    return place


def choose(served: Mapping[str, Served], name: str | None) -> Served | None:
    """The artefact of a name, the first one where none is named, and nothing where the name is unknown."""
    return next(iter(served.values())) if not name else served.get(name)
