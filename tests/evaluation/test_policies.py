import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.evaluation.calibrators import at_prior
from flipkd.evaluation.decisions import Decision, shares
from flipkd.evaluation.policies import Policy, decide
from flipkd.evaluation.thresholds import best_threshold

# A few probabilities, so that many are equal.
ROWS = st.lists(st.tuples(st.integers(1, 9).map(lambda i: i / 10), st.integers(0, 1)), min_size=2, max_size=16).filter(
    lambda rows: len({label for _, label in rows}) == 2
)
STATED = st.sampled_from([0.3, 0.5, 0.6, 0.75, 0.9, 1.0])
PRIOR = st.one_of(st.none(), st.sampled_from([0.02, 0.3, 0.8]))
EVERYWHERE = [i / 20 for i in range(1, 22, 2)]  # between all probabilities, and beyond


def unzip(rows):
    value, label = zip(*rows, strict=True)
    return np.array(value), np.array(label)


def drawn(n=400, seed=0, apart=2.0):
    random = np.random.default_rng(seed)
    label = (random.uniform(size=n) < 0.4).astype(int)
    return 1 / (1 + np.exp(1.5 - apart * (random.normal(size=n) + 2 * label) + 1)), label


def moved(value, label, prior):
    return value if prior is None else at_prior(value, label.mean(), prior)


@given(ROWS, STATED, PRIOR)
def test_precision_is_kept_at_the_highest_recall_or_refused(rows, stated, prior):
    value, label = unzip(rows)
    there = [shares(value, label, cut, prior=prior) for cut in EVERYWHERE]
    kept = [each for each in there if each.accepted.pairs and each.accepted.precision >= stated - 1e-12]
    policy = Policy("precision", (stated,))
    if not kept:
        best = max(each.accepted.precision for each in there if each.accepted.pairs)
        with pytest.raises(FlipkdError, match=f"is {best:.4f}"):
            decide(policy, value, label, prior=prior)
        return
    found = decide(policy, value, label, prior=prior)
    achieved = shares(moved(value, label, prior), label, found.threshold, prior=prior)
    assert achieved == found.validation
    assert achieved.accepted.precision >= stated - 1e-12
    assert achieved.recall == max(each.recall for each in kept)
    assert achieved.accepted.pairs == min(each.accepted.pairs for each in kept if each.recall == achieved.recall)


@given(ROWS, STATED, PRIOR)
def test_recall_is_kept_by_the_highest_threshold(rows, stated, prior):
    value, label = unzip(rows)
    found = decide(Policy("recall", (stated,)), value, label, prior=prior)
    assert found.validation.recall >= stated - 1e-12
    fewer = [shares(value, label, cut) for cut in EVERYWHERE]
    fewest = min(each.accepted.pairs for each in fewer if each.recall >= stated - 1e-12)
    assert found.validation.accepted.pairs == fewest


@given(ROWS, st.sampled_from(["f1", "accuracy"]))
def test_without_a_prior_the_best_is_the_best_threshold(rows, target):
    value, label = unzip(rows)
    assert decide(Policy(target), value, label).threshold == best_threshold(value, label, target)


@given(ROWS, st.sampled_from([0.1, 0.5, 0.9]))
def test_the_best_accuracy_at_a_prior_is_that_of_pairs_repeated_to_it(rows, prior):
    value, label = unzip(rows)
    matches, others = int(label.sum()), int((1 - label).sum())
    times = np.where(label == 1, round(10 * prior) * others, round(10 - 10 * prior) * matches)
    found = decide(Policy("accuracy"), value, label, prior=prior)
    match = moved(value, label, prior) >= found.threshold
    reached = ((match == (label == 1)) * times).sum()
    best = max((((value >= cut) == (label == 1)) * times).sum() for cut in EVERYWHERE)
    assert reached == best


@given(ROWS, STATED, STATED, PRIOR)
def test_bands_keep_both_precisions_and_leave_the_fewest_in_between(rows, accept, reject, prior):
    value, label = unzip(rows)
    policy = Policy("bands", (accept, reject))
    kept = [
        each.review
        for high in EVERYWHERE
        for low in EVERYWHERE
        if low <= high
        and (each := shares(value, label, high, low, prior=prior)).accepted.pairs
        and each.rejected.pairs
        and each.accepted.precision >= accept - 1e-12
        and each.rejected.precision >= reject - 1e-12
    ]
    if not kept:
        with pytest.raises(FlipkdError, match="can't be kept"):
            decide(policy, value, label, prior=prior)
        return
    found = decide(policy, value, label, prior=prior)
    assert found.reject <= found.threshold
    assert found.validation.accepted.precision >= accept - 1e-12
    assert found.validation.rejected.precision >= reject - 1e-12
    assert found.validation.review == pytest.approx(min(kept), abs=1e-9)
    parts = (found.validation.accepted.share, found.validation.review, found.validation.rejected.share)
    assert sum(parts) == pytest.approx(1)


@given(ROWS, STATED, st.sampled_from([0.05, 0.7]))
def test_recall_decides_alike_at_every_prior(rows, stated, prior):
    value, label = unzip(rows)
    here, there = (decide(Policy("recall", (stated,)), value, label, prior=each) for each in (None, prior))
    assert ((value >= here.threshold) == (moved(value, label, prior) >= there.threshold)).all()


def test_a_cost_is_where_both_errors_are_expected_to_cost_alike_at_every_prior():
    value, label = drawn()
    for prior in (None, 0.01):
        found = decide(Policy.parse("cost=4:1"), value, label, prior=prior)
        assert found.threshold == found.reject == 0.8
    assert found.validation.match_rate == 0.01


def test_the_threshold_of_a_cost_is_the_cheapest_on_many_new_calibrated_pairs():
    random = np.random.default_rng(0)
    value = random.uniform(size=100_000)
    label = (random.uniform(size=100_000) < value).astype(int)
    cut = decide(Policy.parse("cost=3:1"), value, label).threshold

    def cost(cut):
        return 3 * ((value >= cut) & (label == 0)).sum() + ((value < cut) & (label == 1)).sum()

    assert cost(cut) < 1.01 * min(cost(each) for each in np.linspace(0.01, 0.99, 99))


def test_fewer_matches_in_production_ask_for_more():
    value, label = drawn(20_000)
    here, there = (decide(Policy.parse("precision=0.95"), value, label, prior=prior) for prior in (None, 0.1))
    assert there.validation.recall < here.validation.recall
    # On new pairs of which a tenth are matches, the re-weighted precision holds, and the other does not.
    new, truth = drawn(100_000, seed=5)
    kept = (truth == 0) | (np.random.default_rng(1).uniform(size=len(truth)) < 0.1 / 0.9 * 0.6 / 0.4)
    new, truth = new[kept], truth[kept]
    after = shares(at_prior(new, label.mean(), 0.1), truth, there.threshold)
    assert after.match_rate == pytest.approx(0.1, abs=0.005)
    assert after.accepted.precision == pytest.approx(0.95, abs=0.02)
    assert shares(new, truth, here.threshold).accepted.precision < 0.9


def test_the_lower_bound_is_exact_and_below():
    label = np.array([1] * 10 + [0] * 10)
    found = shares(np.where(label == 1, 0.9, 0.1), label, 0.5)
    # 10 of 10 right: p with p^10 = 0.05.
    assert found.accepted.precision == 1
    assert found.accepted.precision_at_least == pytest.approx(0.05**0.1)
    assert found.accepted.pairs == 10


@given(ROWS, PRIOR)
def test_the_lower_bound_is_never_above(rows, prior):
    found = shares(*unzip(rows), 0.45, 0.25, prior=prior)
    for part in (found.accepted, found.rejected):
        assume(part.pairs)
        assert 0 <= part.precision_at_least <= part.precision + 1e-12


def test_nothing_decided_has_no_precision():
    found = shares([0.1, 0.2], [0, 1], 2.0)
    assert (found.accepted.precision, found.accepted.precision_at_least, found.recall) == (None, None, 0.0)
    assert "precision unknown" in found.words(bands=False)


def test_names_are_accept_review_and_reject():
    value, label = drawn()
    found = decide(Policy.parse("bands=0.95:0.99"), value, label)
    named = found.name([0.0, found.reject, found.threshold, 1.0], found.threshold)
    assert named.tolist() == ["reject", "review", "accept", "accept"]
    assert found.bands
    assert "to review" in found.reason
    assert f"{label.sum()} of them matches" in found.reason
    assert not decide(Policy("f1"), value, label).bands


def test_precisions_that_are_reached_only_by_deciding_too_much_are_refused():
    # Ranked the wrong way round: a precision of 0.5 takes all pairs, for either side.
    value, label = np.array([0.1, 0.2, 0.8, 0.9]), np.array([1, 1, 0, 0])
    with pytest.raises(FlipkdError, match="only by deciding"):
        decide(Policy.parse("bands=0.5:0.5"), value, label)


def test_what_cannot_be_reached_is_said_with_the_best():
    value, label = np.array([0.9, 0.8, 0.7, 0.1]), np.array([0, 1, 1, 0])
    with pytest.raises(
        FlipkdError, match=r"precision=0.9 can't be kept: on the 4 .* is 0\.6667, with 75\.0% of the pairs"
    ):
        decide(Policy.parse("precision=0.9"), value, label)


def test_comes_back_from_json_as_it_was():
    value, label = drawn()
    found = decide(Policy.parse("bands=0.95:0.99"), value, label, prior=0.1)
    assert Decision.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize("fields", [{"more": 1}, {"validation": {}}, {"validation": 5}])
def test_an_edited_decision_is_one_error(fields):
    value, label = drawn()
    with pytest.raises(FlipkdError, match="it was written by another version, or edited"):
        Decision.from_dict(decide(Policy("f1"), value, label).as_dict() | fields)


@pytest.mark.parametrize("words", ["f1", "accuracy", "precision=0.95", "recall=1", "cost=5:0.25", "bands=0.95:0.999"])
def test_words_come_back(words):
    assert str(Policy.parse(words)) == words


@pytest.mark.parametrize(
    "words",
    ["", "best", "f1=0.5", "precision", "precision=", "precision=high", "precision=0", "recall=-1", "cost=5",
     "cost=1:0", "cost=1:inf", "bands=0.9", "bands=0.9:0.9:0.9", "precision=nan"],
)  # fmt: skip
def test_words_that_are_no_policy_are_refused_with_those_there_are(words):
    with pytest.raises(FlipkdError, match=r"no threshold policy .*bands=P:Q"):
        Policy.parse(words)


def test_a_percentage_is_refused_with_the_mend():
    with pytest.raises(FlipkdError, match=r"say 0\.95 for 95 %"):
        Policy.parse("precision=95")
