"""What is asked of an artefact's fields before anything is answered with them."""

import pytest

from flipkd.errors import FlipkdError
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import Band

ANSWER = Answer(("encoder",), (2.0,), 0.5, 0.5, "by hand")
BAND = Band(0.25, 0.75, ANSWER, 0.5, 0.0, 0.0, 100, "by hand")


@pytest.mark.parametrize(
    "edit",
    [
        {"weights": None},
        {"weights": (1.0, 2.0)},
        {"threshold": "0.5"},
        {"threshold": float("nan")},
        {"bias": None},
        {"match_rate": "0.3"},
        {"sources": ("nobody",)},
        {"sources": (), "weights": ()},
        {"sources": ("decoder", "decoder"), "weights": (1.0, 2.0)},
        {"of_nobody": 1},
    ],
)
def test_an_edited_answer_is_one_error(edit):
    assert Answer.from_dict(ANSWER.as_dict()) == ANSWER
    with pytest.raises(FlipkdError, match=r"artefact's answer is not what this flipkd writes .* edited"):
        Answer.from_dict(ANSWER.as_dict() | edit)


@pytest.mark.parametrize("edit", [{"low": None}, {"high": float("inf")}, {"encoder": 3}, {"of_nobody": 1}])
def test_an_edited_band_is_one_error(edit):
    assert Band.from_dict(BAND.as_dict()) == BAND
    with pytest.raises(FlipkdError, match=r"is not what this flipkd writes .* edited"):
        Band.from_dict(BAND.as_dict() | edit)


@pytest.mark.parametrize("made", [ANSWER, BAND])
def test_a_field_that_is_missing_is_named(made):
    fields = made.as_dict()
    name = "weights" if made is ANSWER else "encoder"
    del fields[name]
    with pytest.raises(FlipkdError, match=f"is not what this flipkd writes \\('{name}'\\)"):
        type(made).from_dict(fields)
