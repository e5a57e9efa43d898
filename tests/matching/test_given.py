"""What a matcher is handed from Python."""

import pytest

from flipkd import FlipkdError, Matcher


def test_what_is_no_list_of_texts_or_pairs_is_refused(artefact):
    """Each of these once had answers, for characters or for the names of columns."""
    matcher = Matcher.from_pretrained(artefact, device="cpu")
    table = {"query": ["reset my pin"], "title": ["open account"]}
    for call in (
        lambda: matcher.encode("reset my pin"),
        lambda: matcher.entries("reset my pin"),
        lambda: matcher.rank("reset my pin", "open account"),
        lambda: matcher.rank(None, ["open account"]),
        lambda: matcher.match_many([table]),
        lambda: matcher.match_many(["ab"]),
        lambda: matcher.match_arrays("ab", "cd"),
        lambda: matcher.match_arrays(["a", "b"], ["c"]),
    ):
        with pytest.raises(FlipkdError):
            call()
