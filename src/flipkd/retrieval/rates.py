"""How rare matches are among candidates, against what the artefact reckons with."""

from flipkd.console import announce
from flipkd.retrieval.index import FaqIndex


def announce_rate(index: FaqIndex, *, prior: float | None, candidates: int | None = None) -> None:
    """Say which share of matches the refusals reckon with: candidates hold far fewer than most validation files.

    Args:
        index: With its artefact.
        prior: What was asked for; where there is one nothing is said.
        candidates: How many the decoder verifies; by default as the index was built.
    """
    rate = index.matcher.answer.match_rate
    candidates = min(candidates or index.store.settings.candidates, len(index.store))
    if prior is None and rate is not None and candidates and rate > 2 / candidates:
        announce(
            "match rate",
            f"{rate:.2g}, that of validation",
            f"one match among {candidates} candidates would be {1 / candidates:.2g}: with --prior {1 / candidates:.2g} "
            "more is refused",
        )
