"""Many texts and pairs, each computed once, in batches."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.student.inference import PADDED, EncodedPairs, Reader, pair_batches
from student.reading import encoded, run
from tiny import pairs


def test_threads_on_one_student_do_not_mix_their_vectors(made):
    from concurrent.futures import ThreadPoolExecutor

    ids = [[text] for text in encoded(made)] * 6
    alone = [Reader(made).vectors(texts) for texts in ids]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda texts: Reader(made).vectors(texts), ids))
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(alone), atol=1e-5)


def test_no_pair_is_no_signal_and_further_texts_get_vectors(made):
    none = np.zeros(0, dtype=np.int64)
    assert len(Reader(made).signals(EncodedPairs([], none, none)).log_odds) == 0
    further = Reader(made).signals(EncodedPairs(encoded(made), np.array([0]), np.array([1])))
    torch.testing.assert_close(torch.from_numpy(further.vectors), run(made, []).vectors, atol=1e-5, rtol=0)


def test_the_reader_keeps_order_and_answers_duplicates_alike(made):
    table = pairs(7)
    rows = [3, 1, 3, 6, 0, 1]
    many_pairs = EncodedPairs.of(made, [table.text_a[i] for i in rows], [table.text_b[i] for i in rows])
    once = EncodedPairs.of(made, table.text_a, table.text_b)
    many, single = Reader(made).signals(many_pairs), Reader(made, batch_tokens=1).signals(once)
    torch.testing.assert_close(many.log_odds, single.log_odds[rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(many.similarity, single.similarity[rows], atol=1e-5, rtol=0)


def test_the_reader_computes_each_distinct_pair_once(made):
    rows = []
    original = made.forward

    def counting(packed):
        rows.append((len(packed["asked"]), len(packed["ids"])))
        return original(packed)

    made.forward = counting
    try:
        Reader(made).log_odds(EncodedPairs.of(made, ["pin"] * 9 + ["card"], ["money"] * 10))
    finally:
        del made.forward
    assert sum(pairs for pairs, _ in rows) == 2


def test_a_text_that_begins_many_pairs_is_computed_once(made):
    table = pairs(6)
    first = table.text_a[0]
    encoded = EncodedPairs.of(made, [first] * 6, table.text_b)
    tokens = []
    original = made.forward

    def counting(packed):
        tokens.append(len(packed["ids"]))
        return original(packed)

    made.forward = counting
    try:
        Reader(made).log_odds(encoded)
    finally:
        del made.forward
    around = len(made.template.middle) + len(made.template.suffix)
    alone = [len(made.template.prefix) + len(encoded.ids[0])]
    assert tokens == [sum(alone + [around + len(encoded.ids[b]) for b in encoded.b])]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8).flatmap(
        lambda lengths: st.tuples(
            st.just(lengths), st.lists(st.tuples(*[st.integers(0, len(lengths) - 1)] * 2), min_size=1, max_size=30)
        )
    ),
    st.integers(1, 80),
)
def test_batches_hold_every_pair_once_within_the_budget(drawn, budget):
    lengths, ends = drawn
    batches = list(pair_batches(np.array(ends), lengths, 5, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(ends)))
    for batch in batches:
        firsts = {ends[i][0] for i in batch}
        tokens = sum(lengths[a] for a in firsts) + sum(5 + lengths[ends[i][1]] for i in batch)
        longest = max(5 + lengths[ends[i][0]] + lengths[ends[i][1]] for i in batch)
        assert (tokens <= budget and len(batch) * longest <= PADDED * budget) or len(batch) == 1
