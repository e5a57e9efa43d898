import numpy as np
import pytest

from flipkd.distill.compare import lead_of_teacher

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
