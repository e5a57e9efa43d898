import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.teacher.mining import NEIGHBOURS, mine
from flipkd.teacher.signal import TeacherSignal


def signal(texts=30, geometries=1, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(texts, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    geometry = np.sort(rng.integers(0, geometries, texts))
    return TeacherSignal(
        [str(i) for i in range(texts)], vectors, geometry, np.zeros(0, np.float32), False,
        np.tile([20.0, -18.0], (geometries, 1)),
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 300))
def test_mined_pairs_are_new_distinct_and_of_one_geometry(texts, geometries, count):
    made = signal(texts, geometries)
    labelled = np.arange(texts), np.roll(np.arange(texts), 1)
    found = mine(made, *labelled, count, seed=0)
    keys = [tuple(sorted(pair)) for pair in zip(found.a.tolist(), found.b.tolist(), strict=True)]
    assert len(keys) == len(set(keys)) <= count
    assert not set(keys) & {tuple(sorted(pair)) for pair in zip(*(side.tolist() for side in labelled), strict=True)}
    assert all(a != b for a, b in keys)
    assert (made.geometry[found.a] == made.geometry[found.b]).all()
    np.testing.assert_allclose(found.similarity, (made.vectors[found.a] * made.vectors[found.b]).sum(1), atol=1e-6)


def test_half_are_likely_matches_where_there_are_enough():
    made = signal(400)
    found = mine(made, np.zeros(0, np.int64), np.zeros(0, np.int64), 100, seed=0)
    assert len(found.a) == 100
    assert (found.probability >= 0.5).sum() == 50


def test_the_other_side_fills_up():
    made = signal(12)
    never = TeacherSignal(
        made.texts, made.vectors, made.geometry, made.pair_similarity, False, np.array([[1.0, -99.0]])
    )
    found = mine(never, np.zeros(0, np.int64), np.zeros(0, np.int64), 40, seed=0)
    assert len(found.a) == 40
    assert (found.probability < 0.5).all()


def test_they_are_nearest_neighbours():
    made = signal(300)
    found = mine(made, np.zeros(0, np.int64), np.zeros(0, np.int64), 200, seed=0)
    cosine = made.vectors @ made.vectors.T
    np.fill_diagonal(cosine, -np.inf)
    place = (-cosine).argsort(axis=1).argsort(axis=1)
    assert (np.minimum(place[found.a, found.b], place[found.b, found.a]) < NEIGHBOURS).all()


def test_either_text_may_come_first():
    found = mine(signal(300), np.zeros(0, np.int64), np.zeros(0, np.int64), 200, seed=0)
    assert 60 < (found.a < found.b).sum() < 140
