from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flipkd.student.inference import EncodedPairs
from flipkd.teacher.signal import TeacherSignal
from flipkd.training.batches import GroupedBatches, KnownLabels, PairCollator, TextCollator, neighbour_groups
from tiny import pairs, student

CALIBRATION = np.array([[5.0, -2.0]])
sizes = st.integers(1, 120).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 60), min_size=n, max_size=n), st.lists(st.integers(0, 2), min_size=n, max_size=n)
    )
)


@given(sizes, st.integers(1, 16), st.integers(0, 5), st.booleans())
def test_every_item_comes_once_in_batches_of_one_group(drawn, batch_size, epoch, both_orders):
    lengths, group = (np.array(column) for column in drawn)
    batches = GroupedBatches(lengths, group, batch_size, 0, both_orders=both_orders)
    batches.set_epoch(epoch)
    found = list(batches)
    assert len(found) == len(batches)
    rows = [np.array(batch) % len(lengths) for batch in found]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    assert all(len(set(group[batch].tolist())) == 1 and len(batch) <= batch_size for batch in rows)


@given(sizes, st.integers(1, 16), st.integers(0, 5), st.integers(2, 5))
def test_processes_get_the_same_number_of_whole_batches_and_miss_none(drawn, batch_size, epoch, processes):
    lengths, group = (np.array(column) for column in drawn)
    batches = GroupedBatches(lengths, group, batch_size, 0)
    batches.set_epoch(epoch)
    alone = list(batches)
    shares = []
    for process in range(processes):
        batches.deal_out(process, processes)
        shares.append(list(batches))
        assert len(shares[-1]) == len(batches) == -(-len(alone) // processes)
    in_turn = [batch for round_ in zip(*shares, strict=True) for batch in round_]
    assert in_turn[: len(alone)] == alone
    assert all(batch in alone for batch in in_turn)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = GroupedBatches(np.arange(50), np.zeros(50), 8, seed, both_orders=True)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_both_orders_come_about_equally_often():
    batches = GroupedBatches(np.arange(1000), np.zeros(1000), 32, 0, both_orders=True)
    swapped = sum(item >= 1000 for batch in batches for item in batch)
    assert 420 < swapped < 580


def test_a_family_stays_together_and_in_one_order():
    family = np.repeat(np.arange(40), 4)
    batches = GroupedBatches(np.arange(160), np.zeros(160), 16, 0, family=family, both_orders=True)
    for batch in batches:
        rows = np.array(batch) % 160
        assert len(set(family[rows])) == 4
        for member in set(family[rows]):
            assert len({item >= 160 for item in np.array(batch)[family[rows] == member]}) == 1


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(5, 100, 800)
    padded = sum(len(batch) * lengths[batch].max() for batch in GroupedBatches(lengths, np.zeros(800), 16, 0))
    shuffled = lengths.reshape(-1, 16).max(axis=1).sum() * 16
    assert padded < 1.2 * lengths.sum() < shuffled


def test_neighbours_come_together():
    rng = np.random.default_rng(0)
    centres = np.eye(5)[rng.integers(0, 5, 60)]
    vectors = (centres + 0.01 * rng.normal(size=(60, 5))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group = neighbour_groups(vectors, 6, seed=0)
    assert np.bincount(group).max() <= 6
    of_one_centre = [len({centres[i].argmax() for i in np.flatnonzero(group == g)}) == 1 for g in set(group)]
    assert np.mean(of_one_centre) > 0.6


@given(st.integers(1, 300), st.integers(1, 9), st.booleans())
def test_many_texts_are_grouped_part_by_part(count, size, equal):
    vectors = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    if equal:
        vectors[:] = vectors[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flipkd.training.batches._BLOCK", 40)
        group = neighbour_groups(vectors, size, seed=0)
    sizes = np.bincount(group)
    assert sizes.sum() == count
    assert 0 < sizes.min() <= sizes.max() <= size
    # A part that is halved has 20 texts at least, and one group of it may be smaller than the others.
    assert (sizes < size).sum() <= max(1, count // 20)


def test_parts_hold_near_texts(monkeypatch):
    rng = np.random.default_rng(0)
    place = rng.integers(0, 8, 400)
    vectors = (np.eye(8)[place] + 0.01 * rng.normal(size=(400, 8))).astype(np.float32)
    monkeypatch.setattr("flipkd.training.batches._BLOCK", 100)
    group = neighbour_groups(vectors, 10, seed=0)
    assert np.mean([len(set(place[group == g])) == 1 for g in set(group)]) > 0.6


def parts(mask_pairs=False):
    made, table = student(), pairs(12)
    encoded = EncodedPairs.of(made, table.text_a, table.text_b)
    vectors = np.random.default_rng(0).normal(size=(len(encoded.ids), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = (vectors[encoded.a] * vectors[encoded.b]).sum(axis=1)
    signal = TeacherSignal(
        table.texts(), vectors, np.zeros(len(vectors), dtype=np.int64), similarity, mask_pairs, CALIBRATION
    )
    return made, table, encoded, signal


def segments(packed):
    return [tuple(packed["ids"][a:b].tolist()) for a, b in pairwise(packed["start"].tolist())]


def prompts(packed):
    """Each pair's prompt, put together again from its segments."""
    found, parent = segments(packed), packed["parent"].tolist()
    ends = [i for i, above in enumerate(parent) if above > 0]
    return [found[0] + found[parent[i]] + found[i] for i in ends]


def collate(items, **options):
    made, table, encoded, signal = parts(**options)
    return made, table, encoded, PairCollator(made.template, encoded, table.label, signal)(items)


def test_a_swapped_item_is_the_same_pair_the_other_way():
    made, table, encoded, batch = collate([2, 2 + 12])
    first, second = prompts(batch["packed"])
    a, b = encoded.ids[encoded.a[2]], encoded.ids[encoded.b[2]]
    assert first == made.template.pair(a, b)
    assert second == made.template.pair(b, a)
    assert batch["rows"].tolist() == [2, 2]
    assert batch["label"].tolist() == [table.label[2]] * 2


def test_the_matrix_is_over_distinct_texts_and_pairs_find_their_places():
    _, _, _, batch = collate([0, 1, 0 + 12])
    # Item 12 is pair 0 swapped: its a and b are there already, one as an a, one as an a too.
    assert batch["teacher"].shape == (4, 4)
    teacher = batch["teacher"][batch["left"], batch["right"]]
    np.testing.assert_allclose(teacher, batch["pair_teacher"], atol=1e-6)


def test_vectors_are_in_the_order_of_the_matrix():
    made, _, encoded, batch = collate([0, 1, 0 + 12, 4])
    vectors = made(batch["packed"]).vectors
    alone = made(TextCollator(made.template, encoded, parts()[3])([0, 1, 4])["packed"]).vectors
    pair = (vectors[batch["left"]] * vectors[batch["right"]]).sum(dim=1)
    expected = [(alone[2 * i] * alone[2 * i + 1]).sum().item() for i in (0, 1, 0, 2)]
    np.testing.assert_allclose(pair.detach(), expected, atol=1e-5)


def test_without_a_teacher_no_text_is_packed_for_its_vector():
    made, table, encoded, _ = parts()
    packed = PairCollator(made.template, encoded, table.label, None)([0, 5])["packed"]
    assert len(packed["text_token"]) == 0
    assert packed["carried"] == len(packed["ids"])


def test_a_leak_masks_the_labelled_entries_both_ways():
    _, _, _, batch = collate([0, 1], mask_pairs=True)
    left, right = batch["left"], batch["right"]
    assert not batch["keep"][left, right].any()
    assert not batch["keep"][right, left].any()
    assert batch["keep"].sum() == batch["keep"].numel() - 4


@pytest.mark.parametrize("collator", ["joint", "warm-up"])
def test_a_leak_masks_labelled_pairs_that_other_rows_brought_together(collator):
    made, table, encoded, signal = parts(mask_pairs=True)
    # Row 2 is the first text of row 0 and the second of row 1.
    ids = EncodedPairs(ids=encoded.ids, a=encoded.a.copy(), b=encoded.b.copy())
    ids.a[2], ids.b[2] = encoded.a[0], encoded.b[1]
    if collator == "joint":
        keep = PairCollator(made.template, ids, table.label, signal)([0, 1])["keep"]
    else:
        keep = TextCollator(made.template, ids, signal)([0, 1])["keep"]
    # The distinct texts are a0, b0, a1, b1.
    labelled = torch.zeros(4, 4, dtype=torch.bool)
    labelled[[0, 2, 0], [1, 3, 3]] = True
    assert torch.equal(keep, ~(labelled | labelled.T))


def test_warm_up_batches_keep_a_pair_together():
    made, _, encoded, signal = parts()
    batch = TextCollator(made.template, encoded, signal)([3, 8])
    expected = [encoded.ids[end] for i in (3, 8) for end in (encoded.a[i], encoded.b[i])]
    assert segments(batch["packed"]) == [made.template.prefix, *expected]


def test_known_labels_are_found_in_both_orders_and_the_diagonal_is_the_batch_s_own():
    encoded = EncodedPairs(ids=[(1,)] * 4, a=np.array([0, 2, 1]), b=np.array([1, 3, 0]))
    known = KnownLabels(encoded, np.array([1, 0, 0]))
    # 0 and 1 are labelled both ways, so elsewhere than on the diagonal they count as not labelled.
    assert known.matrix([0, 3], [1, 2], np.array([1, 0])).tolist() == [[1, -1], [-1, 0]]
    assert known.matrix([2, 1], [0, 3], np.array([1, 0])).tolist() == [[1, 0], [-1, 0]]
