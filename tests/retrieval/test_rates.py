from types import SimpleNamespace

import pytest

from flipkd.retrieval.rates import announce_rate


class Store(list):
    settings = SimpleNamespace(candidates=20)


def index(rate, entries=500):
    matcher = SimpleNamespace(answer=SimpleNamespace(match_rate=rate))
    return SimpleNamespace(matcher=matcher, store=Store(range(entries)))


def test_an_empty_index_has_no_candidates_at_all(capsys):
    announce_rate(index(0.45, entries=0), prior=None)
    assert capsys.readouterr().err == ""


def test_a_small_index_has_fewer_candidates(capsys):
    announce_rate(index(0.45, entries=5), prior=None)
    assert "one match among 5 candidates would be 0.2" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("rate", "options", "said"),
    [
        (0.3, {"prior": None}, True),
        (0.3, {"prior": 0.1}, False),
        (0.3, {"prior": None, "candidates": 5}, False),
        (0.1, {"prior": None}, False),
        (None, {"prior": None}, False),
    ],
)
def test_a_rate_that_candidates_cannot_have_is_said_unless_another_was_given(rate, options, said, capsys):
    announce_rate(index(rate), **options)
    assert ("with --prior 0.05" in " ".join(capsys.readouterr().err.split())) is said
