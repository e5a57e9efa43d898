import numpy as np
import pytest

from flipkd.errors import FlipkdError
from flipkd.evaluation.curves import loss_curve

pytest.importorskip("matplotlib")

RECORDS = [
    {"stage": "warm-up", "step": 5, "loss": 2.0, "distillation": 2.0, "distillation_grad_norm": 1.0},
    {"stage": "warm-up", "step": 10, "loss": 1.0, "distillation": 1.0, "distillation_grad_norm": 0.5},
    {"stage": "warm-up", "step": 10, "train_runtime": 3.0},
    {"stage": "joint", "step": 5, "loss": 3.0, "ce": 0.7, "ce_grad_norm": 2.0, "distillation": 0.4},
    {"stage": "joint", "step": 5, "eval_loss": 9.0},
    {"stage": "joint", "step": 9, "loss": 2.5, "ce": 0.6, "ce_grad_norm": 0.0, "learning_rate": 1e-3},
]


def line(axes, name):
    """The drawn points of the line of that name, without the breaks."""
    drawn = next(line for line in axes.lines if line.get_label() == name)
    points = np.column_stack(drawn.get_data()).astype(float)
    return points[~np.isnan(points).any(axis=1)].tolist()


def test_terms_and_their_norms_stand_in_two_panels(tmp_path):
    figure = loss_curve(tmp_path / "loss.png", RECORDS)
    assert (tmp_path / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    left, right = figure.axes
    assert line(left, "loss") == [[5, 2], [10, 1], [15, 3], [19, 2.5]]
    assert line(left, "ce") == [[15, 0.7], [19, 0.6]]
    assert line(left, "distillation") == [[5, 2], [10, 1], [15, 0.4]]
    assert line(right, "ce") == [[15, 2], [19, 0]]
    assert line(right, "distillation") == [[5, 1], [10, 0.5]]
    assert right.get_yscale() == "log"
    assert all(axes.get_xlabel() == "step" and axes.get_ylabel() for axes in figure.axes)


def test_a_term_keeps_its_colour_in_both_panels(tmp_path):
    left, right = loss_curve(tmp_path / "loss.png", RECORDS).axes
    colours = [{line.get_label(): line.get_color() for line in axes.lines} for axes in (left, right)]
    assert colours[0]["ce"] == colours[1]["ce"] != colours[1]["distillation"]


def test_stages_are_marked_where_they_begin(tmp_path):
    left, _ = loss_curve(tmp_path / "loss.png", RECORDS).axes
    assert [(text.get_position()[0], text.get_text().strip()) for text in left.texts] == [
        (0, "warm-up"),
        (10, "joint"),
    ]


def test_one_stage_without_a_name_needs_no_mark(tmp_path):
    figure = loss_curve(tmp_path / "loss.png", [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}])
    left, right = figure.axes
    assert line(left, "loss") == [[1, 1], [2, 0.5]]
    assert not left.texts
    assert not right.lines


def test_norms_that_are_all_zero_do_not_break_the_picture(tmp_path, recwarn):
    loss_curve(tmp_path / "loss.png", [{"step": 1, "loss": 1.0, "ce": 1.0, "ce_grad_norm": 0.0}])
    assert [str(warning.message) for warning in recwarn] == []


def test_a_log_without_a_training_record_is_refused(tmp_path):
    with pytest.raises(FlipkdError, match="no record with a loss"):
        loss_curve(tmp_path / "loss.png", [{"step": 1, "eval_loss": 1.0}])
