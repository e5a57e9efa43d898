"""Two systems on the same pairs: what is found, and what must never be claimed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.paired import System, compare_systems, holm, mcnemar, measure_gaps
from flipkd.evaluation.verdict import markdown, metric_rows, remarks, slice_rows, verdict


def system(name, value, threshold=0.0, **fields):
    return System(name, value >= threshold, value, "a threshold", **fields)


def noisy(label, quality, seed):
    return quality * (2 * label - 1) + np.random.default_rng(seed).normal(size=len(label))


LABEL = np.random.default_rng(0).permutation(np.arange(400) % 3 == 0).astype(int)
EACH = np.arange(400)


def compared(a, b, *, group=EACH, parts=None, draws=300, label=LABEL):
    return compare_systems(label, group, a, b, parts or {}, draws=draws)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_the_chance_of_a_split_as_uneven_by_hand(decided):
    from math import comb

    right_a, right_b = np.array(decided).T
    found = mcnemar(right_a, right_b)
    n, fewer = found.only_a + found.only_b, min(found.only_a, found.only_b)
    assert n == sum(a != b for a, b in decided)
    by_hand = 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    assert found.p == pytest.approx(min(by_hand, 1))
    assert mcnemar(right_b, right_a).p == pytest.approx(found.p)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.integers(0, 1000), st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=15)
def test_a_system_is_never_better_than_itself(seed, quality):
    value = noisy(LABEL, quality, seed)
    report = compared(system("x", value), system("y", value), draws=100)
    for gap in report.gaps.values():
        assert (gap.interval.difference, gap.interval.low, gap.interval.high) == (0, 0, 0)
    assert report.mcnemar.p == 1
    assert "better" not in verdict(report)
    assert "decide all 400 pairs alike" in verdict(report)


def test_a_strictly_better_system_is_found_from_either_side():
    worse = noisy(LABEL, 1.0, 1)
    mended = np.where((worse >= 0) == LABEL, worse, np.where(np.arange(400) % 2, -worse, worse))
    ahead = compared(system("old", worse), system("new", mended))
    behind = compared(system("new", mended), system("old", worse))
    for report in (ahead, behind):
        assert verdict(report).startswith("new (")
        assert "is better than old (" in verdict(report)
        assert report.mcnemar.p < 1e-4
    assert (ahead.mcnemar.only_a, behind.mcnemar.only_b) == (0, 0)
    assert ahead.gaps["f1"].interval.low > 0 > behind.gaps["f1"].interval.high
    assert "B is ahead in accuracy by" in verdict(ahead)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    # Pairs come in groups that share their noise, so that drawing pairs one by one would cover far too rarely.
    rng, groups, size = np.random.default_rng(3), 60, 4
    of = np.repeat(np.arange(groups), size)

    def drawn(count):
        label = (rng.random(count) < 0.5).astype(int)
        noise = rng.normal(size=(2, count))
        return label, *(q * (2 * label - 1) + each for q, each in zip((0.5, 0.8), noise, strict=True))

    def f1(label, value):
        called = value >= 0
        return 2 * (called & (label == 1)).sum() / (called.sum() + label.sum())

    label, a, b = drawn(400_000)
    true = f1(label, b) - f1(label, a)
    held = {"grouped": 0, "alone": 0}
    for _ in range(150):
        label, a, b = (np.repeat(each, size) for each in drawn(groups))
        sides = system("a", a), system("b", b)
        for name, group in (("grouped", of), ("alone", np.arange(groups * size))):
            gap = measure_gaps(label, group, *sides, ("f1",), draws=200, seed=0)["f1"]
            held[name] += gap.interval.low <= true <= gap.interval.high
    assert 0.88 < held["grouped"] / 150 < 0.99
    assert held["alone"] / 150 < 0.8


def test_equal_systems_are_seldom_told_apart():
    rng, told = np.random.default_rng(4), 0
    for _ in range(150):
        label = np.arange(150) % 2
        sides = (system(name, label - 0.5 + rng.normal(size=150)) for name in "ab")
        gap = measure_gaps(label, np.arange(150), *sides, ("accuracy",), draws=200, seed=0)["accuracy"]
        told += gap.interval.settled
    assert told / 150 < 0.1


def test_blocks_of_draws_are_other_draws_of_the_same_distribution(monkeypatch):
    sides = system("a", noisy(LABEL, 1.0, 1)), system("b", noisy(LABEL, 1.3, 2))
    whole = measure_gaps(LABEL, EACH, *sides, ("f1", "ap"), draws=1000, seed=0)
    monkeypatch.setattr("flipkd.evaluation.paired.BLOCK", 400 * 90)
    blocks = measure_gaps(LABEL, EACH, *sides, ("f1", "ap"), draws=1000, seed=0)
    for metric in ("f1", "ap"):
        assert blocks[metric].interval.difference == whole[metric].interval.difference
        assert blocks[metric].interval.low == pytest.approx(whole[metric].interval.low, abs=0.02)
        assert blocks[metric].interval.low != whole[metric].interval.low


def test_the_same_seed_gives_the_same_report():
    sides = system("a", noisy(LABEL, 1.0, 1)), system("b", noisy(LABEL, 1.3, 2))
    assert compared(*sides).as_dict() == compared(*sides).as_dict()


def test_pairs_that_hang_together_decide_nothing():
    report = compared(system("old", -(2.0 * LABEL - 1)), system("new", 2.0 * LABEL - 1), group=EACH // 40)
    assert report.gaps["f1"].interval.settled
    assert "cannot tell" in verdict(report)
    assert "about 10 independent ones" in verdict(report)
    numbers = report.as_dict()["metrics"]["f1"]
    assert (numbers["low"], numbers["high"]) == (None, None)
    assert all(line[-1] == "–" for line in metric_rows(report))


def test_a_handful_of_pairs_decides_nothing_either():
    label = np.arange(12) % 2
    sides = System("old", label == 0, None, ""), System("new", label == 1, None, "")
    assert "cannot tell old (A) and new (B) apart" in verdict(
        compare_systems(label, np.arange(12), *sides, {}, draws=100)
    )


def test_what_is_not_settled_says_how_large_a_difference_would_show():
    report = compared(system("old", noisy(LABEL, 1.0, 1)), system("new", noisy(LABEL, 1.0, 2)))
    gap = report.gaps["f1"]
    assert not gap.interval.settled
    assert gap.missed_below > gap.interval.half_width
    assert f"a difference below about {100 * gap.missed_below:.1f} points would often not show" in verdict(report)


def test_without_values_on_both_sides_there_is_neither_ap_nor_auc():
    decided = System("b", noisy(LABEL, 1.0, 2) >= 0, None, "decisions")
    report = compared(system("a", noisy(LABEL, 1.0, 1)), decided)
    assert list(report.gaps) == ["f1", "accuracy"]
    assert any("AP and AUC are left out" in warning for warning in report.warnings)


def test_small_and_seen_test_sets_are_warned_of():
    label = np.arange(30) % 2
    seen = System("b", label == 1, None, "decisions", ("b was trained on these very pairs: its figures flatter.",))
    report = compare_systems(label, np.arange(30), System("a", label == 0, None, ""), seen, {}, draws=100)
    assert report.warnings[0] == seen.warnings[0]
    assert any("30 pairs, 15 of the rarer class, are few" in warning for warning in report.warnings)


def test_slices_have_figures_of_their_own_and_small_ones_a_star():
    values = noisy(LABEL, 1.0, 1), noisy(LABEL, 1.3, 2)
    masks = {"first": EACH < 350, "last": EACH >= 350, "matches": LABEL == 1}
    report = compared(system("a", values[0]), system("b", values[1]), parts={"place": masks})
    alone = measure_gaps(
        LABEL[:350], EACH[:350], *(system("", value[:350]) for value in values), ("f1", "accuracy"), draws=300, seed=0
    )
    first, last, one_class = report.slices
    assert first.gaps == alone
    assert (first.n, last.n, one_class.n) == (350, 50, 134)
    assert (first.few, last.few, one_class.few) == (False, True, False)
    assert list(one_class.gaps) == ["accuracy"]
    rights = [(value >= 0) == (LABEL == 1) for value in values]
    raw = [mcnemar(*(right[mask] for right in rights)).p for mask in masks.values()]
    assert [part.p for part in report.slices] == holm(raw)
    ((by, lines),) = slice_rows(report)
    assert by == "place"
    assert [line[0] for line in lines] == ["first", "", "last *", "", "matches"]
    assert any("3 slices were looked at" in remark for remark in remarks(report))


def test_the_report_is_plain_json_and_markdown():
    report = compared(
        system("a", noisy(LABEL, 1.0, 1)), system("b", noisy(LABEL, 1.3, 2)), parts={"half": {"a|b": EACH < 200}}
    )
    hostile = replace(report, a="<b>a", slices=tuple(replace(part, name="<img src=x>\n| c") for part in report.slices))
    assert "<img" not in markdown(hostile)
    assert "<b>" not in markdown(hostile)
    assert len(markdown(hostile).splitlines()) == len(markdown(report).splitlines())
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert found["metrics"]["f1"]["difference"] == pytest.approx(
        found["metrics"]["f1"]["b"] - found["metrics"]["f1"]["a"]
    )
    text = markdown(report)
    assert verdict(report) in text
    assert all(line[1] in text for line in metric_rows(report))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in tables} == {6, 10}


def test_labels_of_one_class_are_refused():
    with pytest.raises(FlipkdError, match="0 non-matches"):
        compared(system("a", np.ones(3)), system("b", np.ones(3)), group=np.arange(3), label=np.ones(3, dtype=int))
