"""The parts of the report that set sets beside each other."""

import pytest

from experiments.synthetic import put, section
from flipkd.experiments import report
from flipkd.experiments.report import write_report


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    """The picture has tests of its own."""
    monkeypatch.setattr(report, "find_spec", lambda name: None)


def test_the_set_with_the_largest_lead_of_the_teacher_stands_first(tmp_path):
    for pair_set, teacher in (("mqp", 45), ("atec", 10), ("rqe", 30)):
        put(tmp_path, pair_set, "fine_tuned_long", 40)
        put(tmp_path, pair_set, "teacher", teacher)
    put(tmp_path, "banking77", "teacher", 10)
    shown = section(write_report(tmp_path).read_text(), "Where it gains").splitlines()
    assert [line.split("|")[1].strip() for line in shown if line.startswith("| ")][2:] == ["atec", "rqe", "mqp"]


def test_one_set_alone_does_not_tell_where_flipping_gains(tmp_path):
    put(tmp_path, "mqp", "fine_tuned_long", 40)
    put(tmp_path, "mqp", "teacher", 10)
    assert "Where it gains" not in write_report(tmp_path).read_text()


def test_two_models_are_compared_with_two_models_set_beside_set(tmp_path):
    assert "What the teacher is worth" not in write_report(tmp_path).read_text()
    for method, wrong in (("flipped_teacher", 20), ("fine_tuned_teacher", 10), ("flipped_answer", 30)):
        put(tmp_path, "mqp", method, wrong)
    put(tmp_path, "rqe", "no_teacher_answer", 40)
    put(tmp_path, "rqe", "flipped_answer", 20)
    shown = section(write_report(tmp_path).read_text(), "What the teacher is worth").splitlines()
    mqp, rqe = (
        [cell.strip() for cell in line.split("|")[2:6]] for line in shown if line.startswith(("| mqp", "| rqe"))
    )
    assert mqp[:2] == rqe[2:] == ["–", "–"]
    assert mqp[2].startswith("**-5.0 [-")
    assert rqe[0].startswith("**-10.0 [-")
