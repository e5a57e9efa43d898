"""Which column is which: by name, never by order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flipkd.data.labels import label_of
from flipkd.errors import FlipkdError

TEXT_PAIRS = (
    ("texta", "textb"),
    ("text1", "text2"),
    ("sentencea", "sentenceb"),
    ("sentence1", "sentence2"),
    ("senta", "sentb"),
    ("sent1", "sent2"),
    ("s1", "s2"),
    ("questiona", "questionb"),
    ("question1", "question2"),
    ("q1", "q2"),
    ("query1", "query2"),
    ("a", "b"),
    ("query", "title"),
    ("query", "document"),
    ("query", "doc"),
    ("query", "passage"),
    ("query", "answer"),
    ("question", "answer"),
    ("question", "passage"),
    ("premise", "hypothesis"),
)
"""Names of the two text columns; both must come from one entry. Case, blanks, ``_`` and ``-`` don't count."""
LABELS = (
    *("label", "labels", "gold", "goldlabel", "y", "target", "rel", "relevance", "relevant"),
    *("match", "ismatch", "duplicate", "isduplicate", "paraphrase", "isparaphrase", "similar", "issimilar"),
)
"""Names of the label column, likewise."""
LONGEST_NAME = 40
"""What is longer in a first line is no name of a column but a text."""
ROLES = ("text_a", "text_b", "label")


@dataclass(frozen=True)
class Columns:
    """The place of each column in a header, counted from 0."""

    text_a: int
    text_b: int
    label: int | None
    extra: tuple[int, ...]

    def describe(self, header: Sequence[str]) -> str:
        """The mapping in words: ``question1 -> text_a, question2 -> text_b``."""
        used = [(self.text_a, "text_a"), (self.text_b, "text_b")]
        used += [] if self.label is None else [(self.label, "label")]
        return ", ".join(f"{header[place]} -> {role}" for place, role in used)


def _plain(name: str) -> str:
    return "".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _listed(header: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in header)


def _named(header: Sequence[str], name: str, role: str, source: str) -> int:
    """The place of a column the user named: as written, or else by its name trimmed and in any case."""
    exact = [place for place, found in enumerate(header) if found == name]
    loose = [place for place, found in enumerate(header) if found.strip().casefold() == name.strip().casefold()]
    places = exact or loose
    if len(places) != 1:
        raise FlipkdError(
            f"{source}: {role} is to come from column {name!r}, and {len(places)} columns have that name. "
            f"The columns are {_listed(header)}."
        )
    return places[0]


def _texts(header: Sequence[str], source: str) -> tuple[int, int]:
    at: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        at.setdefault(_plain(name), []).append(place)
    own = [at.get(name, []) for name in TEXT_PAIRS[0]]
    if all(len(places) == 1 for places in own):
        return own[0][0], own[1][0]  # our names are meant, whatever other pair is there
    found = [(a, b) for one, two in TEXT_PAIRS for a in at.get(one, ()) for b in at.get(two, ())]
    if len(found) == 1:
        return found[0]
    mend = "Name them: --columns.text_a NAME --columns.text_b NAME."
    if found:
        candidates = "; ".join(f"{header[a]!r} and {header[b]!r}" for a, b in found)
        raise FlipkdError(f"{source}: more than one pair of columns could be the two texts: {candidates}. {mend}")
    if any(len(name) > LONGEST_NAME or (label_of(name) is not None and _plain(name) not in LABELS) for name in header):
        mend = (
            "The first line seems to be a pair already: name the columns by number, --columns.text_a 1 "
            "--columns.text_b 2 --columns.label 3, or put a line with names before it."
        )
    if parted_otherwise(header):
        mend = (
            "The cells seem to be parted by another character: .csv needs commas, .tsv tabs, or name it: --delimiter."
        )
    raise FlipkdError(
        f"{source}: no two columns have the names of a pair of texts, such as text_a and text_b. "
        f"The columns are {_listed(header)}; in a text file they are the first line. {mend}"
    )


def places_of(header: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The place of each role's column: of its names, in any case, the first that is there; none where there is none."""
    plain = [name.strip().casefold() for name in header]
    found = {role: [plain.index(name) for name in known if name in plain] for role, known in names.items()}
    return {role: places[0] for role, places in found.items() if places}


def parted_otherwise(header: Sequence[str]) -> bool:
    """Whether the names of the columns seem to have come as one, since another character parts them."""
    return len(header) == 1 and any(mark in header[0] for mark in ",;\t|")


def _label(header: Sequence[str], used: set[int], source: str) -> int:
    found = [place for place, name in enumerate(header) if place not in used and _plain(name) in LABELS]
    if len(found) == 1:
        return found[0]
    what = "more than one column could be the label" if found else "no column has the name of a label"
    shown = [header[place] for place in found] or header
    raise FlipkdError(f"{source}: {what}: {_listed(shown)}. Name it: --columns.label NAME.")


def find_columns(header: Sequence[str], explicit: Mapping[str, str] | None, *, labelled: bool, source: str) -> Columns:
    """Find the two texts and the label in a header.

    Args:
        header: The columns' names as written.
        explicit: Names the user gave for some of ``text_a``, ``text_b`` and ``label``; the two texts
            are given together or not at all.
        labelled: Whether a label is needed. If not, no column is the label and all others are extra.
        source: The file or data set, for errors.

    Raises:
        FlipkdError: If a column is not found, could be several, or has the name of another one.
    """
    explicit = explicit or {}
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise FlipkdError(f"{source}: more than one column is named {_listed(twice)}. Rename all but one.")
    unknown = [role for role in explicit if role not in ROLES]
    if unknown or ("text_a" in explicit) != ("text_b" in explicit):
        raise FlipkdError(
            f"{source}: columns are named for text_a and text_b together, and for label; got {_listed(list(explicit))}."
        )
    if "text_a" in explicit:
        a, b = (_named(header, explicit[role], role, source) for role in ("text_a", "text_b"))
    else:
        a, b = _texts(header, source)
    label = None
    if labelled and "label" in explicit:
        label = _named(header, explicit["label"], "label", source)
    elif labelled:
        label = _label(header, {a, b}, source)
    if a == b or label in (a, b):
        raise FlipkdError(f"{source}: one column is named for two uses: {dict(explicit)}.")
    extra = tuple(place for place in range(len(header)) if place not in (a, b, label))
    return Columns(a, b, label, extra)
