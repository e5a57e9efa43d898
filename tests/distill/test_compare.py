import numpy as np
import pytest

from flipkd.distill.compare import Signal, compare, lead_of_teacher
from tiny import pairs

LABEL = np.array([1, 1, 0, 0])
RIGHT = np.array([0.9, 0.8, 0.1, 0.2])


@pytest.mark.parametrize(
    ("teacher", "fine_tuned", "words"),
    [(RIGHT, -RIGHT, "ahead"), (-RIGHT, RIGHT, "not ahead"), (RIGHT, 10 * RIGHT, "not ahead")],
)
def test_who_is_ahead_is_said_with_both_figures(teacher, fine_tuned, words):
    found, why = lead_of_teacher(teacher, fine_tuned, LABEL)
    assert found == f"{words} of plain fine-tuning"
    shown = {True: "1.000", False: "0.417"}
    assert why.startswith(f"AP {shown[teacher is RIGHT]} and {shown[fine_tuned[0] > 0]} on validation")


def test_rows_of_one_ranking_have_one_f1():
    """The answer's threshold comes by the same rule as that of the signal it rests on."""
    validation, measured = pairs(90), pairs(400, seed=1)
    random = np.random.default_rng(0)

    def said(knows):
        return Signal(*(random.normal(size=len(t)) + knows * t.require_labels() for t in (validation, measured)))

    decoder, noise = said(1.5), said(0)
    found = compare({"zero_shot": noise, "flipped": decoder}, noise, noise, validation, measured, seed=0, name="test")
    assert found.answers["flipped_answer"].sources == ("decoder",)
    assert found.answers["flipped_answer"].steps is None
    assert found.rows["flipped_answer"].f1 == found.rows["flipped_decoder"].f1
