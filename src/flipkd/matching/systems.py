"""What is compared: an artefact that answers the test pairs now, or a file of answers given before."""

from collections.abc import Sequence
from pathlib import Path

from flipkd.data.labels import parse_labels
from flipkd.data.reader import read_pairs
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError
from flipkd.evaluation.paired import System
from flipkd.evaluation.predictions import PREDICTIONS, answer_column, numbers
from flipkd.matching.artefact import SPEC_FILE, ArtefactSpec
from flipkd.matching.matcher import Matcher

SEEN = {
    "train": "was trained on these very pairs",
    "validation": "had its thresholds and its answer fitted on these very pairs",
}
"""What it means for a run that the test pairs are one of its splits."""


def read_system(
    path: str,
    test: PairTable,
    *,
    value: str | None = None,
    threshold: float | None = None,
    device: str | None = None,
    cache_dir: str | Path = "~/.cache/flipkd",
) -> System:
    """What a system says of the test pairs.

    An artefact answers them now. A file holds a row for each test pair, in their order, and a column `match` with its
    decisions or a value for each pair, best both: an artefact's predictions.parquet, what `flipkd match` wrote, or
    another system's answers.

    Args:
        path: A folder or a file.
        test: The test pairs.
        value: Of a file, the column with the value, where it is not `probability` or an artefact's own.
        threshold: Of a file without `match`: a match is a value of at least this. It must have been chosen elsewhere.
        device: Where an artefact computes.
        cache_dir: Where packaged students are kept once converted.

    Raises:
        FlipkdError: If the path is neither, the file's pairs are not the test pairs, or it lacks the columns.
    """
    if Path(path).is_file():
        return _answered(path, test, value, threshold)
    if not Path(path).is_dir():
        raise FlipkdError(f"{path} is neither the folder of an artefact nor a file of answers: there is no such path.")
    if value is not None or threshold is not None:
        raise FlipkdError(
            f"{path} is an artefact: its threshold is its own. Name a value column or threshold for files."
        )
    matcher = Matcher.from_pretrained(path, device=device, cache_dir=cache_dir)
    found = matcher.match_arrays(test.text_a, test.text_b)
    origin = f"its own threshold {matcher.answer.threshold:.3f}, fitted on its validation pairs"
    return System(path, found.match, found.probability, origin, seen_by(path, matcher.spec, test))


def seen_by(name: str, spec: ArtefactSpec, test: PairTable) -> tuple[str, ...]:
    """What is known, by their digests, of these pairs' part in a run.

    Args:
        name: The artefact as it is called.
        spec: What it says of itself.
        test: The pairs.
    """
    digest = test.digest()
    return tuple(
        f"{name} {meaning}: its figures flatter."
        for split, meaning in SEEN.items()
        if spec.data.get(split, {}).get("digest") == digest
    )


def _answered(path: str, test: PairTable, value: str | None, threshold: float | None) -> System:
    said = read_pairs(path, labelled=False, empty="keep")
    require_same_pairs(said, test)
    spec = spec_beside(Path(path))
    own = "probability" if "probability" in said.extra or spec is None else answer_column(spec.answer["sources"])
    column = value or own
    if spec is not None and column != own and threshold is None:
        raise FlipkdError(
            f"{path}: its column match is of {own!r}, not of {column!r}. Give the threshold of {column!r}, chosen on "
            "other pairs: --threshold-a NUMBER (for B: --threshold-b)."
        )
    values = numbers(said, column) if value is not None or column in said.extra else None
    warnings = () if spec is None else seen_by(path, spec, test)
    if "match" in said.extra and threshold is None:
        places = [f"line {line}" for line in said.line]
        match = parse_labels(said.extra["match"], places, path, "match") == 1
        return System(path, match, values, "its column match", warnings)
    if values is None or threshold is None:
        raise FlipkdError(
            f"{path} has no column 'match' with its decisions. Add it, or name a column of values and the threshold "
            "that was chosen for them on other pairs: --value-a NAME --threshold-a NUMBER (for B: --value-b, "
            "--threshold-b)."
        )
    return System(path, values >= threshold, values, f"{column} >= {threshold:g}, as given", warnings)


def spec_beside(predictions: Path) -> ArtefactSpec | None:
    """What the artefact says of itself whose predictions a file is; None where it lies in none."""
    place = predictions.resolve()
    if place.parts[-len(PREDICTIONS.parts) :] != PREDICTIONS.parts:
        return None
    folder = place.parents[len(PREDICTIONS.parts) - 1]
    return ArtefactSpec.read(folder) if (folder / SPEC_FILE).is_file() else None


def require_same_pairs(said: PairTable, test: PairTable) -> None:
    """Check that two tables hold the same texts, row by row.

    Raises:
        FlipkdError: At the first row that differs, with both its lines, or if one table ends before the other.
    """
    sides = (_rows(said), _rows(test))
    for row, (one, other) in enumerate(zip(*sides, strict=False)):
        if one != other:
            raise FlipkdError(
                f"{said.source}, line {said.line[row]}, is not the pair of {test.source}, line {test.line[row]}: "
                f"{_shown(one)} against {_shown(other)}. Both must hold the same pairs in the same order: answer the "
                "test file again."
            )
    if len(said) != len(test):
        raise FlipkdError(
            f"{said.source} holds {len(said)} pairs and {test.source} {len(test)}: they agree as far as the shorter "
            "one goes. Both must hold the same pairs in the same order: answer the test file again."
        )


def _rows(table: PairTable) -> Sequence[tuple[str, str]]:
    return list(zip(table.text_a, table.text_b, strict=True))


def _shown(pair: tuple[str, str]) -> str:
    return " / ".join(repr(text if len(text) <= 40 else f"{text[:37]}...") for text in pair)
