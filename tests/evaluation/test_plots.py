import sys

import numpy as np
import pytest

from flipkd.errors import FlipkdError
from flipkd.evaluation import plots
from flipkd.evaluation.cascade_curve import Point

Rectangle = pytest.importorskip("matplotlib.patches").Rectangle

LABEL = np.array([0, 0, 0, 1, 1, 1])
VALUE = np.array([0.1, 0.2, 0.6, 0.5, 0.7, 0.9])


def assert_png(path, wide, high):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (wide, high)
    assert len(data) > 5_000


def labelled(figure):
    """Every axis of every panel says what it shows."""
    return all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_precision_recall_draws_each_method(tmp_path):
    figure = plots.precision_recall(tmp_path / "pr.png", LABEL, {"answer": VALUE, "teacher": -VALUE})
    assert_png(tmp_path / "pr.png", 660, 540)
    (axes,) = figure.axes
    assert labelled(figure)
    # From the top: 1/1, 2/2, miss, 3/4.
    assert legend(axes)[0] == f"answer (AP {(1 + 1 + 3 / 4) / 3:.3f})"
    assert "6 pairs" in axes.get_title()
    recall, precision = axes.lines[0].get_data()
    assert (recall.max(), recall.min()) == (1, 0)
    assert 0.75 in precision
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()


def test_roc_draws_the_curve(tmp_path):
    figure = plots.roc(tmp_path / "roc.png", LABEL, {"answer": VALUE})
    assert_png(tmp_path / "roc.png", 660, 540)
    assert labelled(figure)
    assert legend(figure.axes[0])[0] == "answer (AUC 0.889)"  # 8 of 9 pairs in order
    false, true = figure.axes[0].lines[0].get_data()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_reliability_draws_what_was_said_against_what_was_seen(tmp_path):
    figure = plots.reliability(tmp_path / "r.png", LABEL, {"before": 1 - VALUE, "after": VALUE}, bins=2)
    assert_png(tmp_path / "r.png", 1320, 768)
    before, upper, _, lower = figure.axes
    assert labelled(figure)
    assert (before.get_title()[:6], upper.get_title()[:5]) == ("before", "after")
    said, seen = upper.lines[1].get_data()
    np.testing.assert_allclose(said, [0.8 / 3, 2.2 / 3])
    np.testing.assert_allclose(seen, [1 / 3, 2 / 3])
    assert "0.067" in upper.get_title()
    assert sum(bar.get_height() for bar in lower.patches) == 6


def test_reliability_of_fewer_pairs_than_bins(tmp_path):
    figure = plots.reliability(tmp_path / "r.png", [0, 1], {"answer": [0.2, 0.7]})
    assert len(figure.axes[0].lines[1].get_xdata()) == 2


def test_histograms_count_each_class_on_one_grid(tmp_path):
    figure = plots.similarity_histograms(tmp_path / "h.png", LABEL, np.full(6, 0.8), VALUE)
    assert_png(tmp_path / "h.png", 1320, 540)
    before, after = figure.axes
    assert labelled(figure)
    assert ("before" in before.get_title(), "after" in after.get_title()) == (True, True)
    assert sorted(legend(before)) == ["matches", "non-matches"]
    bars, others = ([patch for patch in axes.patches if isinstance(patch, Rectangle)] for axes in (before, after))
    assert max(bar.get_height() for bar in bars) == 3  # the three equal similarities of the non-matches
    assert sorted(bar.get_height() for bar in others)[-3:] == [1, 1, 1]
    assert [bar.get_x() for bar in bars] == [bar.get_x() for bar in others]


def test_the_cascades_curve_draws_each_split(tmp_path):
    points = [Point(0.0, 0.5, 0.0, 0.01, 0.45, 0.02, 0.8), Point(0.05, 0.9, 0.05, 0.06, 0.8, 0.07, 0.7)]
    figure = plots.cascade_curve(tmp_path / "c.png", points, "test")
    assert_png(tmp_path / "c.png", 660, 540)
    (axes,) = figure.axes
    assert labelled(figure)
    assert legend(axes) == ["validation, fitted there", "validation, other half", "test"]
    shown = [line.get_xydata().tolist() for line in axes.lines]
    expected = [[[50, 0], [90, 5]], [[50, 1], [90, 6]], [[45, 2], [80, 7]]]
    np.testing.assert_allclose(shown, expected)
    assert [text.get_text() for text in axes.texts] == ["0.0%", "5.0%"]


def test_the_map_joins_the_two_texts_of_each_pair(tmp_path):
    random = np.random.default_rng(0)
    before = random.normal(size=(6, 5)), random.normal(size=(6, 5))
    after = random.normal(size=(6, 3)), random.normal(size=(6, 3))
    figure = plots.vector_map(tmp_path / "m.png", LABEL, before, after)
    assert_png(tmp_path / "m.png", 1320, 540)
    assert labelled(figure)
    for axes in figure.axes:
        joined = [line for line in axes.lines if len(line.get_xdata()) == 2]
        assert len(joined) == 6
        assert "6 of 6 pairs" in axes.get_title()


def test_the_map_keeps_distances_of_flat_vectors(tmp_path):
    # In two dimensions the components only turn the picture.
    a, b = np.array([[0.0, 0.0], [1.0, 5.0]]), np.array([[3.0, 4.0], [1.0, 5.0]])
    figure = plots.vector_map(tmp_path / "m.png", [0, 1], (a, b), (b, a))
    lengths = [np.hypot(*(np.diff(line.get_xydata(), axis=0)[0])) for line in figure.axes[0].lines[:1]]
    assert lengths == pytest.approx([5.0])
    assert "100% of the variance" in figure.axes[0].get_ylabel()


def test_the_map_of_vectors_of_one_number_is_a_line(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(2, 6, 1))
    figure = plots.vector_map(tmp_path / "m.png", LABEL, tuple(vectors), tuple(vectors))
    heights = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    np.testing.assert_allclose(heights, 0, atol=1e-12)


def test_the_map_draws_a_share_of_many_pairs(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(2, 500, 4))
    figure = plots.vector_map(tmp_path / "m.png", np.arange(500) % 2, tuple(vectors), tuple(vectors))
    assert "200 of 500 pairs" in figure.axes[0].get_title()


def test_equal_vectors_and_values_draw_without_a_warning(tmp_path, recwarn):
    same = np.ones((6, 4))
    figure = plots.vector_map(tmp_path / "m.png", LABEL, (same, same), (same, same))
    assert "0% of the variance" in figure.axes[0].get_ylabel()
    plots.similarity_histograms(tmp_path / "h.png", LABEL, np.ones(6), np.ones(6))
    plots.reliability(tmp_path / "r.png", LABEL, {"answer": np.full(6, 0.5)})
    assert [str(warning.message) for warning in recwarn] == []


def test_nothing_of_pyplot_is_loaded(tmp_path):
    loaded = sys.modules.get("matplotlib.pyplot")
    plots.roc(tmp_path / "roc.png", LABEL, {"answer": VALUE})
    assert sys.modules.get("matplotlib.pyplot") is loaded


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FlipkdError, match=r"flipkd\[plots\]"):
        plots.roc(tmp_path / "roc.png", LABEL, {"answer": VALUE})
    assert not (tmp_path / "roc.png").exists()


def test_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(FlipkdError, match="answer"):
        plots.precision_recall(tmp_path / "pr.png", LABEL, {"answer": np.where(LABEL, np.nan, VALUE)})
