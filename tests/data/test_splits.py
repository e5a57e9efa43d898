import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipkd.data.identity import text_key
from flipkd.data.splits import folds, grouped_split, independent_groups, text_groups, warn_of_dependence
from flipkd.data.table import PairTable
from flipkd.errors import FlipkdError

text = st.integers(0, 60).map(lambda n: f"Text {n}" if n % 3 else f"ＴＥＸＴ{n}")
pairs = st.lists(st.tuples(text, text, st.integers(0, 1)), min_size=1, max_size=40)


def made(rows):
    a, b, label = (list(side) for side in zip(*rows, strict=True))
    return PairTable(a, b, np.asarray(label, dtype=np.int64), "x.csv", list(range(2, len(a) + 2)), {})


def many(count, seed=0):
    """Groups of 1 to 4 pairs about one text, of both classes."""
    draw = np.random.default_rng(seed)
    return made(
        [(f"q{n}", f"d{n}-{k}", int(draw.random() < 0.3)) for n in range(count) for k in range(draw.integers(1, 5))]
    )


def keys(table, rows):
    chosen = table.select(rows)
    return {text_key(text) for text in chosen.texts()}


def reference_groups(a, b):
    """By the definition: merge until no two groups share a text."""
    sets = []
    for one, two in zip(map(text_key, a), map(text_key, b), strict=True):
        joined = {one, two}
        for other in [group for group in sets if group & joined]:
            sets.remove(other)
            joined |= other
        sets.append(joined)
    return [next(n for n, group in enumerate(sets) if text_key(one) in group) for one in a]


@given(pairs)
def test_groups_are_the_linked_pairs(rows):
    table = made(rows)
    group = text_groups(table.text_a, table.text_b)
    wanted = np.asarray(reference_groups(table.text_a, table.text_b))
    assert ((group[:, None] == group) == (wanted[:, None] == wanted)).all()
    assert list(dict.fromkeys(group.tolist())) == list(range(group.max() + 1))


def test_no_pairs_no_groups():
    assert text_groups([], []).shape == (0,)


@given(pairs, st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_split_shares_no_text(rows, fraction, seed):
    table = made(rows)
    try:
        train, held = grouped_split(table, fraction, seed)
    except FlipkdError as error:
        assert "x.csv" in str(error)  # noqa: PT017
        return
    assert sorted([*train, *held]) == list(range(len(table)))
    assert not keys(table, train) & keys(table, held)
    assert set(table.label[train]) == set(table.label[held]) == set(table.label)


@given(pairs, st.integers(2, 4))
def test_folds_share_no_text(rows, count):
    table = made(rows)
    try:
        fold = folds(table, count, 0)
    except FlipkdError as error:
        assert "x.csv" in str(error)  # noqa: PT017
        return
    assert set(fold) == set(range(count))
    seen = [keys(table, np.flatnonzero(fold == k)) for k in range(count)]
    assert not any(seen[i] & seen[j] for i in range(count) for j in range(i))
    assert all(set(table.label[fold == k]) == set(table.label) for k in range(count))


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_a_split_keeps_size_and_balance(fraction):
    table = many(400)
    train, held = grouped_split(table, fraction, 0)
    assert len(held) / len(table) == pytest.approx(fraction, abs=0.005)
    assert table.label[held].mean() == pytest.approx(table.label[train].mean(), abs=0.005)


def test_folds_keep_size_and_balance():
    table = many(400)
    fold = folds(table, 3, 0)
    assert np.bincount(fold).tolist() == pytest.approx([len(table) / 3] * 3, abs=2)
    rates = [table.label[fold == k].mean() for k in range(3)]
    assert max(rates) - min(rates) < 0.01


def test_the_seed_decides():
    table = many(60)
    once, again, other = (grouped_split(table, 0.2, seed)[1].tolist() for seed in (3, 3, 4))
    assert once == again
    assert once != other
    assert folds(table, 2, 3).tolist() == folds(table, 2, 3).tolist() != folds(table, 2, 4).tolist()


def test_unlabelled_pairs_can_be_split():
    table = many(60)
    bare = PairTable(table.text_a, table.text_b, None, "x.csv", table.line, {})
    train, held = grouped_split(bare, 0.25, 0)
    assert len(held) == pytest.approx(len(bare) / 4, abs=1)
    assert np.bincount(folds(bare, 2, 0)).min() >= len(bare) // 2 - 1
    assert len(train) + len(held) == len(bare)


def linked(count):
    """100 pairs, so many of them by one text."""
    return made([(f"q{n}" if n >= count else "hub", f"d{n}", n % 2) for n in range(100)])


def test_a_giant_group_is_an_error_that_shows_the_link():
    table = made([("hub", f"d{n}", n % 2) for n in range(50)])
    for split in (lambda: grouped_split(table, 0.2, 0), lambda: folds(table, 2, 0)):
        with pytest.raises(FlipkdError, match=r"x\.csv.*50 of 50 pairs hang together.*'hub', 50 times"):
            split()


def test_a_split_too_far_from_what_was_asked_is_an_error():
    with pytest.raises(FlipkdError, match="96 of 100"):
        grouped_split(linked(96), 0.2, 0)


def test_uneven_folds_are_said(capsys):
    assert sorted(np.bincount(folds(linked(74), 2, 0))) == [26, 74]
    assert "uneven" in capsys.readouterr().err


def test_folds_of_less_than_half_their_share_are_refused():
    """The teacher of the rest would have learnt from a handful of pairs."""
    with pytest.raises(FlipkdError, match=r"no 2 fair folds: 76 of 100 pairs .* came to 76 and 24 pairs"):
        folds(linked(76), 2, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, float("nan"), 20.0])
def test_shares_that_are_none_are_refused(fraction):
    with pytest.raises(FlipkdError, match="between 0 and 1"):
        grouped_split(many(20), fraction, 0)


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (500, 0), (2, -1)])
def test_folds_that_cannot_be_are_refused(count, seed):
    with pytest.raises(FlipkdError):
        folds(many(20), count, seed)


@pytest.mark.parametrize(("shared", "warned"), [(1, False), (20, True)])
def test_pairs_that_share_texts_are_warned_of_as_dependent(shared, warned, capsys):
    names = [str(number // shared) for number in range(100)]
    warn_of_dependence(made([(f"a {name}", f"b {number}", 1) for number, name in enumerate(names)]))
    said = " ".join(capsys.readouterr().err.split())
    assert ("count as about 5 independent ones" in said) is warned


def test_a_large_group_leaves_few_independent_ones():
    assert independent_groups(np.arange(50)) == 50
    assert independent_groups(np.zeros(50, dtype=int)) == 1
    assert independent_groups([0, 0, 1, 1, 2, 2]) == 3
    assert 1 < independent_groups([0] * 90 + list(range(1, 11))) < 2
