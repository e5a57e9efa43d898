import pytest

from flipkd.evaluation.intervals import Interval
from flipkd.experiments.comparisons import SetResults
from flipkd.experiments.marks import marks
from flipkd.experiments.sets import PAIR_SETS

NAMES = list(PAIR_SETS)


def of(sets):
    """Results with these differences: by set, then (metric, method, reference), as (difference, low) or with seeds."""
    return [
        SetResults(
            name,
            {},
            {
                key: Interval(d, low, d + (d - low), *(more or [3]), (low, d + (d - low)))
                for key, (d, low, *more) in differences.items()
            },
            matches=100,
            groups=200,
        )
        for name, differences in sets.items()
    ]


def decoder(f1=(0.0, -0.02), ap=(0.0, -0.02)):
    return {("f1", "flipped_decoder", "fine_tuned_long"): f1, ("ap", "flipped_decoder", "fine_tuned_long"): ap}


def every(differences, count=7):
    return of(dict.fromkeys(NAMES[:count], differences))


def test_a_decoder_ahead_by_one_metric_counts():
    (mark, *_) = marks(of({NAMES[0]: decoder(f1=(0.02, -0.01)), NAMES[1]: decoder(ap=(0.011, 0.001))}))
    point, sure = mark.conditions
    assert (point.held, sure.held) == ((NAMES[0], NAMES[1]), (NAMES[1],))


def test_the_interval_counts_only_of_the_metric_that_is_a_point_ahead():
    # F1 a point ahead and unsure, AP sure and less than a point: neither will do.
    (mark, *_) = marks(every(decoder(f1=(0.02, -0.01), ap=(0.005, 0.001))))
    point, sure = mark.conditions
    assert (len(point.held), len(sure.held)) == (7, 0)
    assert (point.verdict, sure.verdict, mark.verdict) == ("met", "not met", "not met")


def test_a_point_is_a_point_whatever_floats_make_of_it():
    (mark, *_) = marks(every(decoder(f1=(0.71 - 0.70, 0.001))))
    assert len(mark.conditions[0].held) == 7
    (mark, *_) = marks(every(decoder(f1=(0.0099, 0.001))))
    assert not mark.conditions[0].held


@pytest.mark.parametrize(
    ("held", "lost", "verdict"),
    [
        (5, 2, "met"),
        (4, 3, "not met"),
        (5, 0, "met"),
        (4, 2, "cannot be told yet"),
        (0, 2, "cannot be told yet"),
        (0, 3, "not met"),
    ],
)
def test_the_verdict_waits_for_sets_that_could_still_decide(held, lost, verdict):
    key = ("f1", "flipped_answer", "fine_tuned_long")
    sets = {name: {key: (0.03 if place < held else 0.029, 0.0)} for place, name in enumerate(NAMES[: held + lost])}
    mark = marks(of(sets))[1]
    (condition,) = mark.conditions
    assert (len(condition.held), len(condition.known), condition.asked) == (held, held + lost, 5)
    assert mark.verdict == verdict


@pytest.mark.parametrize(
    ("sure", "thin", "lost", "lost_thin", "verdict"),
    [
        (5, 1, 1, 0, "met"),
        (4, 1, 2, 0, "cannot be told yet"),
        (4, 0, 2, 1, "cannot be told yet"),
        (0, 7, 0, 0, "cannot be told yet"),
        (0, 4, 3, 0, "not met"),
    ],
)
def test_sets_without_all_their_seeds_could_still_decide(sure, thin, lost, lost_thin, verdict):
    key = ("f1", "flipped_answer", "fine_tuned_long")
    ahead, level = (0.04, 0.01), (0.0, -0.01)
    outcomes = [ahead] * sure + [(*ahead, 1)] * thin + [level] * lost + [(*level, 1)] * lost_thin
    found = of({name: {key: outcome} for name, outcome in zip(NAMES, outcomes, strict=False)})
    assert marks(found)[1].verdict == verdict


def test_at_least_takes_a_tie_and_above_does_not():
    zero = (0.0, -0.01)
    found = marks(
        every(
            {
                ("f1", "flipped_teacher", "fine_tuned_teacher"): zero,
                ("f1", "flipped_teacher", "teacher"): zero,
                ("f1", "flipped_answer", "teacher"): zero,
                ("f1", "no_teacher_answer", "flipped_answer"): zero,
            }
        )
    )
    verdicts = [[condition.verdict for condition in mark.conditions] for mark in found[2:]]
    assert verdicts == [["met", "not met"], ["met"], ["not met"]]
    assert found[2].verdict == "not met"


def test_average_precision_stands_beside_and_does_not_count():
    worth = {("f1", "no_teacher_answer", "flipped_answer"): (-0.1, -0.2)}
    worth |= {("ap", "no_teacher_answer", "flipped_answer"): (0.1, 0.05)}
    mark = marks(every(worth))[4]
    assert mark.verdict == "met"
    (beside,) = mark.beside
    assert (beside.held, beside.verdict) == ((), "not met")


def test_an_interval_that_holds_for_these_seeds_alone_is_said_beside():
    key = ("ap", "flipped_decoder", "fine_tuned_long")
    results = [
        SetResults(name, {}, {key: Interval(0.03, 0.01, 0.05, 3, anew)}, matches=100, groups=200)
        for name, anew in zip(NAMES, ((0.005, 0.06), (-0.005, 0.06)), strict=False)
    ]
    mark = marks(results)[0]
    assert mark.conditions[1].held == (NAMES[0], NAMES[1])
    assert mark.beside[-1].held == (NAMES[0],)


def test_nothing_is_told_from_nothing_and_other_sets_do_not_count():
    for found in (marks([]), marks(of({"another": decoder(f1=(0.5, 0.4))}))):
        assert [mark.verdict for mark in found] == ["cannot be told yet"] * 5
        assert not found[0].conditions[0].known


def test_sets_with_fewer_seeds_are_named():
    (mark, *_) = marks(of({NAMES[0]: decoder(f1=(0.02, 0.01, 1), ap=(0.0, 0.0, 1)), NAMES[1]: decoder()}))
    assert mark.conditions[0].thin == (NAMES[0],)
