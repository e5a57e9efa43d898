"""Whose turn it is, without a model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipkd.serving.queue import FairQueue, Job, QueueFull, Rate


def queue(rows=10_000, tokens=1_000_000):
    return FairQueue(rows, tokens)


def job(*tokens, key="match"):
    return Job(key, list(range(len(tokens))), tokens)


def taken(found, budget):
    return [(share.job, share.start, share.stop) for share in found.take(budget)]


def batches(found, budget):
    while shares := found.take(budget):
        yield shares


JOBS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.lists(st.integers(1, 50), min_size=1, max_size=12)), max_size=12
)


@settings(max_examples=150)
@given(JOBS, st.integers(1, 60), st.data())
def test_every_row_is_handed_out_once_in_order_within_the_budget(jobs, budget, data):
    found = queue()
    made = [job(*tokens, key=key) for key, tokens in jobs]
    for one in made:
        found.add(one)
    seen, dropped = [0] * len(made), set()
    for shares in batches(found, budget):
        assert len({share.job.key for share in shares}) == 1
        sizes = [size for share in shares for size in share.job.tokens[share.start : share.stop]]
        assert sum(sizes) <= budget or len(sizes) == 1
        for share in shares:
            number = made.index(share.job)
            assert number not in dropped
            assert share.start == seen[number]
            seen[number] = share.stop
        if data.draw(st.booleans()):
            dropped.add(data.draw(st.integers(0, len(made) - 1)))
            found.drop(made[max(dropped)])
            dropped = {number for number in dropped if made[number].gone}
    assert (found.rows, found.tokens, found.jobs) == (0, 0, 0)
    assert all(count == len(one.rows) for count, one in zip(seen, made, strict=True) if not one.gone)


def test_a_short_text_overtakes_long_ones_that_came_before():
    found = queue()
    long = [job(300) for _ in range(20)]
    for made in long:
        found.add(made)
    assert len(found.take(1000)) == 3
    short = job(20)
    found.add(short)
    assert taken(found, 1000)[0][0] is short


def test_a_request_of_many_rows_lets_others_in_between():
    found = queue()
    many, one = job(*[20] * 500), job(20)
    found.add(many)
    found.take(1000)
    found.add(one)
    assert one in [share.job for share in found.take(1000)]


@given(st.integers(2, 8))
@settings(max_examples=20)
def test_a_long_text_is_not_starved_by_a_stream_of_short_ones(streams):
    found, long = queue(), job(300)
    found.add(long)
    for batch in range(100):
        for _ in range(streams):
            found.add(job(20))
        if long in [share.job for share in found.take(20 * streams)]:
            # It shares with the streams: its 300 tokens come within about as many of each of theirs.
            assert batch <= 2 * 300 / 20
            return
    pytest.fail("the long text never came")


def test_a_row_beyond_the_budget_is_a_batch_of_its_own():
    found = queue()
    long, short = job(500), job(5)
    found.add(long)
    found.add(short)
    assert [[share.job for share in shares] for shares in batches(found, 100)] == [[short], [long]]


@pytest.mark.parametrize(("rows", "tokens"), [(3, 1000), (1000, 30)])
def test_what_finds_no_room_is_refused_and_an_empty_queue_takes_any(rows, tokens):
    found = queue(rows, tokens)
    found.add(job(10, 10, 10, 10))
    with pytest.raises(QueueFull):
        found.add(job(10))
    list(batches(found, 1000))
    found.add(job(10))


def test_a_dropped_job_makes_room_at_once():
    found = queue(rows=2)
    first = job(10, 10)
    found.add(first)
    found.drop(first)
    found.drop(first)
    second = job(10, 10)
    found.add(second)
    assert taken(found, 1000) == [(second, 0, 2)]


def test_nothing_is_kept_of_jobs_that_are_over():
    found = queue()
    for _ in range(50):
        first, second = job(10, 10), job(10)
        found.add(first)
        found.add(second)
        found.take(5)
        found.drop(first)
        found.drop(second)
    assert not found._heaps


def test_the_rate_says_how_long_waiting_tokens_take():
    rate = Rate()
    assert rate.seconds(100) == 0
    rate.saw(100, 2.0)
    rate.saw(300, 2.0)
    assert rate.seconds(500) == pytest.approx(5.0)
