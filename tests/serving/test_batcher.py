"""Batches in turn, with an invented computation."""

import asyncio
import threading
import time

import pytest

from flipkd.serving.batcher import Batcher, Busy
from flipkd.serving.metrics import Metrics
from flipkd.serving.queue import FairQueue


class Computer:
    """Doubles numbers, remembers its batches, and may wait for a sign or fail on a row."""

    def __init__(self, bad=None):
        self.batches = []
        self.threads = set()
        self.sign = threading.Event()
        self.sign.set()
        self.bad = bad

    def __call__(self, key, rows):
        self.threads.add(threading.get_ident())
        self.batches.append((key, list(rows)))
        self.sign.wait(5)
        if self.bad in rows:
            raise ValueError("a bad row")
        return [2 * row for row in rows]


def run(work, computer=None, *, budget=100, max_wait=0.0, rows=1000):
    """Run `work(batcher, computer)` beside the task that computes."""
    computer = computer or Computer()

    async def main():
        queue = FairQueue(rows, 10**6)
        batcher = Batcher(computer, queue, Metrics(queue), batch_tokens=budget, max_wait=max_wait)
        running = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(work(batcher, computer), 10)
        finally:
            computer.sign.set()
            running.cancel()

    return asyncio.run(main())


def test_answers_come_back_to_their_requests_in_order():
    async def work(batcher, _):
        return await asyncio.gather(*(batcher.answer("k", [n, n + 1, n + 2], [10, 20, 30]) for n in range(50)))

    computer = Computer()
    assert run(work, computer) == [[2 * n, 2 * n + 2, 2 * n + 4] for n in range(50)]
    assert len(computer.threads) == 1
    assert len(computer.batches) < 150


def test_rows_that_wait_share_a_batch_and_keys_do_not_mix():
    async def work(batcher, computer):
        computer.sign.clear()
        first = asyncio.create_task(batcher.answer("a", [1], [10]))
        while not computer.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.answer(key, [n], [10])) for n, key in enumerate("abab")]
        await asyncio.sleep(0.01)
        computer.sign.set()
        await asyncio.gather(first, *others)
        return computer.batches

    assert run(work) == [("a", [1]), ("a", [0, 2]), ("b", [1, 3])]


def test_an_idle_server_waits_for_more_but_not_beyond_the_bound():
    async def work(batcher, computer):
        start = time.monotonic()
        tasks = [asyncio.create_task(batcher.answer("k", [1], [10]))]
        await asyncio.sleep(0.02)
        tasks.append(asyncio.create_task(batcher.answer("k", [2], [10])))
        await asyncio.gather(*tasks)
        return computer.batches, time.monotonic() - start

    batches, seconds = run(work, max_wait=0.1)
    assert batches == [("k", [1, 2])]
    assert 0.09 < seconds < 1


def test_a_full_batch_does_not_wait():
    async def work(batcher, _):
        start = time.monotonic()
        await asyncio.gather(batcher.answer("k", [1], [60]), batcher.answer("k", [2], [60]))
        return time.monotonic() - start

    assert run(work, max_wait=5.0) < 1


def test_a_full_queue_says_when_to_come_again():
    async def work(batcher, computer):
        await batcher.answer("k", [1], [1])
        batcher._rate.saw(100, 50.0)
        computer.sign.clear()
        first = asyncio.create_task(batcher.answer("k", [1], [100]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(batcher.answer("k", [2] * 4, [20] * 4))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy) as busy:
            await batcher.answer("k", [3], [10])
        computer.sign.set()
        assert await first == [2]
        assert await second == [4] * 4
        return busy.value.seconds

    # 80 tokens wait, at two a second.
    assert 38 <= run(work, rows=4) <= 41


def test_a_request_that_is_given_up_leaves_the_queue():
    async def work(batcher, computer):
        computer.sign.clear()
        first = asyncio.create_task(batcher.answer("k", [1], [10]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(batcher.answer("k", [2] * 50, [10] * 50))
        await asyncio.sleep(0.01)
        assert batcher.queue.rows == 50
        second.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert batcher.queue.rows == 0
        computer.sign.set()
        await first
        await batcher.answer("k", [3], [10])
        return computer.batches

    assert run(work) == [("k", [1]), ("k", [3])]


def test_a_fault_of_one_request_does_not_hurt_the_others_of_its_batch():
    async def work(batcher, _):
        asked = (batcher.answer("k", rows, [1] * len(rows)) for rows in ([1], [13, 5], [2, 3]))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = run(work, Computer(bad=13), max_wait=0.05)
    assert (first, third) == ([2], [4, 6])
    assert isinstance(second, ValueError)


def test_a_fault_in_a_later_batch_of_a_request_ends_the_request():
    async def work(batcher, computer):
        with pytest.raises(ValueError, match="a bad row"):
            await batcher.answer("k", [1, 13, 2, 3], [100] * 4)
        assert batcher.queue.rows == 0
        return await batcher.answer("k", [4], [1])

    computer = Computer(bad=13)
    assert run(work, computer) == [8]
    assert [rows for _, rows in computer.batches] == [[1], [13], [4]]
