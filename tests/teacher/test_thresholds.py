import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flipkd.errors import FlipkdError
from flipkd.teacher.thresholds import DualThresholds, fit_thresholds, random_ceiling, threshold_report

# A coarse grid gives ties and equal similarities often.
SIMILARITY = st.one_of(st.integers(-4, 4).map(lambda k: k / 4), st.floats(-1, 1, width=32))
PAIRS = st.lists(st.tuples(SIMILARITY, st.integers(0, 1)), min_size=1, max_size=40)


def split(pairs):
    similarity, label = zip(*pairs, strict=True)
    return np.asarray(similarity, dtype=np.float32), np.asarray(label)


@given(PAIRS, st.sampled_from([0.5, 0.9, 1.0]))
def test_the_thresholds_are_ordered_and_leave_the_margins_room(pairs, precision):
    found = fit_thresholds(*split(pairs), precision=precision)
    assert found.tau_n < found.tau_p
    assert found.tau_n < 1  # MCL divides by 1 - tau_n and by tau_p + 1
    assert found.tau_p > -1


@given(PAIRS)
def test_without_crossing_they_are_the_extreme_ones_that_keep_the_precision(pairs):
    t, y = split(pairs)
    found = fit_thresholds(t, y)
    if "cross" in found.reason:
        return
    matches = {u: y[t >= u].mean() for u in np.unique(t)}
    non_matches = {u: 1 - y[t <= u].mean() for u in np.unique(t)}
    best = max(matches.values())
    if best > 0:
        assert found.tau_p == min(u for u, share in matches.items() if share >= min(0.9, best) - 1e-9)
    best = max(non_matches.values())
    if best > 0:
        assert found.tau_n == max(u for u, share in non_matches.items() if share >= min(0.9, best) - 1e-9)


def test_by_hand():
    t = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    y = [1, 1, 1, 0, 1, 0, 1, 0, 0, 0]
    found = fit_thresholds(t, y, precision=0.75)
    assert (found.tau_p, found.tau_n) == (0.6, 0.5)  # 4 of the 5 upper are matches, 4 of the 5 lower are not
    assert "0.80 for matches over 5 of 10" in found.reason.replace("precision ", "")


def test_a_precision_met_exactly_counts_as_met():
    t = np.r_[0.5, np.linspace(0.6, 1, 9), np.linspace(-1, -0.5, 20)]
    found = fit_thresholds(t, np.r_[0, np.ones(9), np.zeros(20)].astype(int), precision=0.9)
    assert "precision 0.90 for matches over 10 of 30" in found.reason
    assert "0.500 and" in found.reason


def test_a_good_teacher_s_thresholds_cross_and_meet_in_the_middle():
    t = np.r_[np.linspace(0.6, 1, 20), np.linspace(-0.5, 0.2, 20)]
    found = fit_thresholds(t, np.r_[np.ones(20), np.zeros(20)].astype(int))
    assert found.tau_p - found.tau_n == pytest.approx(0.02)
    assert 0.2 < found.tau_n < found.tau_p < 0.7
    assert "cross" in found.reason


def test_a_precision_never_reached_warns_and_takes_the_best(said):
    t, y = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [1, 1, 0, 0, 0, 1]
    found = fit_thresholds(t, y)
    assert (found.tau_p, found.tau_n) == (0.9, 0.1)
    assert sum("reaches 0.67" in line for line in said) == 2


def test_a_constant_teacher_is_told(said):
    fit_thresholds([0.5] * 4, [0, 1, 0, 1])
    assert any("tells nothing apart" in line for line in said)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 8.0, -1.5])
def test_logits_and_nan_are_refused_with_their_row(bad):
    with pytest.raises(FlipkdError, match="row 1"):
        fit_thresholds([0.5, bad], [0, 1])


def test_no_pairs_and_odd_labels_are_refused():
    with pytest.raises(FlipkdError, match="one similarity and one label"):
        fit_thresholds([], [])
    with pytest.raises(FlipkdError, match="0 or 1"):
        fit_thresholds([0.1, 0.2], [1, 2])


def test_thresholds_in_the_wrong_order_cannot_be_made():
    with pytest.raises(FlipkdError, match="below"):
        DualThresholds(0.2, 0.2, "set by the user")


def test_the_report_counts_by_hand():
    report = threshold_report([0.9, 0.5, 0.1, 0.9, 0.5, 0.1], [1, 1, 1, 0, 0, 0], DualThresholds(0.8, 0.3, "set"))
    assert (report.kept_matches, report.dropped_matches) == (2, 1)
    assert (report.kept_non_matches, report.dropped_non_matches) == (2, 1)
    assert (report.kept, report.n) == (4, 6)
    assert (report.trusted_positives, report.trusted_negatives) == (2, 2)
    assert report.agreement == 0.5


@given(PAIRS)
def test_the_report_loses_no_pair(pairs):
    t, y = split(pairs)
    report = threshold_report(t, y, fit_thresholds(t, y))
    assert report.kept + report.dropped_matches + report.dropped_non_matches == report.n == len(t)
    assert sum(report.matches) == y.sum()
    assert sum(report.non_matches) == (1 - y).sum()
    assert json.loads(json.dumps(report.as_dict()))["n"] == len(t)


def test_the_report_shows_counts_and_bars():
    report = threshold_report([0.9, 0.8, 0.1], [1, 1, 0], DualThresholds(0.8, 0.3, "set"))
    shown = Console(width=120, file=io.StringIO(), record=True)
    shown.print(report.render())
    text = shown.export_text()
    assert "█" in text
    assert "agreement with the labels 100.0%" in text


def test_hardly_a_random_pair_is_above_the_random_ceiling():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # The second half repeats the first in another geometry: compared across, a thousand pairs would be equal.
    vectors = np.concatenate([vectors, vectors])
    ceiling = random_ceiling(vectors, np.repeat([0, 1], 400), seed=0)
    cosine = (vectors[:400] @ vectors[:400].T)[~np.eye(400, dtype=bool)]
    assert (cosine > ceiling).mean() == pytest.approx(0.001, abs=0.0005)


RARE = np.concatenate([np.linspace(0.3, 1, 20), np.linspace(-0.5, 0.2, 380)]), np.repeat([1, 0], [20, 380])


def test_a_veto_that_drops_much_of_a_rare_class_is_told_with_a_precision_that_does_not(said):
    similarity, label = RARE  # told apart without error
    fit_thresholds(similarity, label)
    assert len(said) == 1
    assert "leave out 8 of 20 matches" in said[0]
    better = float(re.search("--threshold-precision ([0-9.]+) no more", said[0])[1])
    mended = threshold_report(similarity, label, fit_thresholds(similarity, label, precision=better))
    assert mended.dropped_matches <= 5
    assert mended.dropped_non_matches <= 95
    fit_thresholds(similarity, label, veto=False)
    assert len(said) == 1


def test_where_no_precision_helps_the_thresholds_are_to_be_set(said):
    fit_thresholds([0.1] * 3 + [0.9] * 3 + [-0.9] * 3, [1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert "leave out 3 of 6 non-matches" in said[-1]
    assert "Set --tau-p and --tau-n" in said[-1]
