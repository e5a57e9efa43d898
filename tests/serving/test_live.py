"""A server that listens: what happens to those who wait, hang up, or come too many."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from flipkd import FlipkdError
from flipkd.matching.matcher import Matcher
from flipkd.serving.config import ServeConfig
from flipkd.serving.models import Served
from flipkd.serving.run import bound, serve
from serving.live import listening

BODY = {"text_1": "reset my pin", "text_2": "open account"}


@pytest.fixture
def slow(monkeypatch):
    """Each batch of the matcher takes until the sign is set, or so many seconds."""
    sign = threading.Event()
    answer, batches = Matcher.match_many, []

    def waiting(self, pairs, **options):
        batches.append(len(pairs))
        sign.wait(5)
        return answer(self, pairs, **options)

    monkeypatch.setattr(Matcher, "match_many", waiting)
    sign.batches = batches
    yield sign
    sign.set()


def post(server, body=BODY, path="/score", **options):
    return httpx2.post(f"http://127.0.0.1:{server.port}{path}", json=body, timeout=20, **options)


def raw(server, body, path="/score"):
    """A connection on which a request was sent."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    sock.sendall(head.encode() + b"\r\n\r\n" + data)
    return sock


def metric(server, name):
    text = httpx2.get(f"http://127.0.0.1:{server.port}/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_client_that_hangs_up_frees_its_place(served, slow):
    with listening(served, queue_rows=8, max_wait_ms=0) as server:
        first = raw(server, BODY)
        until(lambda: slow.batches)
        waiting = [raw(server, {"text_1": "a", "text_2": ["b", "c"]}) for _ in range(4)]
        until(lambda: metric(server, "flipkd_queue_rows") == 8)
        full = post(server)
        assert full.status_code == 429
        assert full.json()["error"]["code"] == "queue_full"
        assert int(full.headers["Retry-After"]) >= 1
        for sock in waiting:
            sock.close()
        until(lambda: metric(server, "flipkd_queue_rows") == 0)
        slow.set()
        assert post(server).status_code == 200
        assert first.recv(100).startswith(b"HTTP/1.1 200")
        first.close()
        assert metric(server, 'flipkd_requests_total{outcome="gone"') == 4
        # Nothing was computed for those who went.
        assert slow.batches == [1, 1]


def test_a_client_that_hangs_up_within_its_body_is_gone_and_not_invalid(served):
    with listening(served) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(b'POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{"text_1": ')
        until(lambda: server.state.inside == 1)
        sock.close()
        until(lambda: metric(server, 'flipkd_requests_total{outcome="gone"') == 1)


def test_a_large_request_of_short_texts_is_taken_beside_another(served, slow):
    """What its tokens could be at the most must not keep it out of a queue in which it finds room."""
    body = {"text_1": "a", "text_2": ["reset my pin " * 3] * 60}
    with listening(served, queue_tokens=2_200, max_wait_ms=0) as server:
        first = raw(server, BODY)
        until(lambda: slow.batches)
        second = raw(server, BODY)  # not with the first in one batch
        until(lambda: metric(server, "flipkd_queue_rows") > 0)
        third = raw(server, body)
        until(lambda: metric(server, "flipkd_queue_rows") > 60)
        slow.set()
        assert third.recv(100).startswith(b"HTTP/1.1 200")
        for sock in (first, second, third):
            sock.close()


def test_told_to_stop_it_lets_nobody_in_and_finishes_what_is_inside(served, slow):
    with listening(served) as server:
        first = raw(server, BODY)
        until(lambda: slow.batches)
        second = raw(server, BODY)
        until(lambda: server.state.inside == 2)
        server.handle_exit(signal.SIGTERM, None)
        refused = post(server)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert httpx2.get(f"http://127.0.0.1:{server.port}/ready").status_code == 503
        assert httpx2.get(f"http://127.0.0.1:{server.port}/health").status_code == 200
        slow.set()
        for sock in (first, second):
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            sock.close()
        until(lambda: not server.started or server.should_exit)


@pytest.mark.parametrize("again", [False, True], ids=["the limit", "told twice"])
def test_it_does_not_wait_for_ever(served, slow, again):
    with listening(served, drain_seconds=30 if again else 0.2) as server:
        sock = raw(server, BODY)
        until(lambda: slow.batches)
        server.handle_exit(signal.SIGTERM, None)
        if again:
            server.handle_exit(signal.SIGTERM, None)
        until(lambda: server.should_exit)
        slow.set()
        sock.close()


def test_an_address_that_is_taken_is_told_before_anything_is_loaded():
    with bound("127.0.0.1", 0) as sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(FlipkdError, match=f"127.0.0.1:{port} cannot be listened at"):
            serve(ServeConfig(model="missing", port=port))


def test_an_address_that_another_takes_meanwhile_is_told_as_such(served, monkeypatch):
    with bound("127.0.0.1", 0) as other:
        port = other.getsockname()[1]

        def loading(_):
            other.listen()
            return served

        monkeypatch.setattr("flipkd.serving.run.load_served", loading)
        with pytest.raises(FlipkdError, match=f"127.0.0.1:{port} cannot be listened at"):
            serve(ServeConfig(model="unused", port=port))


def test_others_are_answered_while_a_request_of_many_rows_is(served):
    with listening(served, batch_tokens=64) as server, ThreadPoolExecutor(1) as pool:
        many = pool.submit(
            post, server, {"text_1": "reset my pin", "text_2": ["card " * 8 + str(n) for n in range(150)]}
        )
        until(lambda: metric(server, "flipkd_queue_rows") > 0)
        for _ in range(5):
            assert post(server).status_code == 200
        assert not many.done()
        assert len(many.result().json()["data"]) == 150


def test_a_body_that_does_not_come_is_given_up(served):
    with listening(served, body_seconds=0.1) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        sock.sendall(b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf")
        assert sock.recv(100).startswith(b"HTTP/1.1 408")
        sock.close()
        assert post(server).status_code == 200


def test_who_sends_too_much_gets_to_read_why(served):
    with listening(served, max_body_mb=0.01) as server:
        answer = post(server, {"text_1": "a" * 5_000_000, "text_2": "b"})
        assert answer.status_code == 413
        assert "more than 10485 bytes" in answer.json()["error"]["message"]


def test_a_thousand_malformed_bodies_hurt_no_later_request(served):
    import numpy as np

    rng = np.random.default_rng(0)
    good = json.dumps({"queries": "reset my pin", "documents": ["open account", "new card"]}).encode()
    paths = ("/score", "/rerank", "/v1/embeddings", "/match")
    odd = [None, 1, [1], {}, [[]], "\ud800", float("inf"), "a"]

    def broken(n):
        kind = n % 5
        if kind == 0:
            return good[: rng.integers(0, len(good))]
        if kind == 1:
            return bytes(rng.integers(0, 256, 60, dtype=np.uint8))
        if kind == 2:
            place = int(rng.integers(0, len(good)))
            return good[:place] + bytes([rng.integers(0, 256)]) + good[place + 1 :]
        if kind == 3:
            return b"[" * int(rng.integers(1, 5000))
        return json.dumps({"queries": odd[n % len(odd)], "pairs": [[]]}).encode()

    with listening(served) as server, httpx2.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        expected = client.post("/score", json=BODY).json()["data"]
        for n in range(1000):
            headers = {"Content-Type": "application/json"}
            answer = client.post(paths[n % 4], content=broken(n), headers=headers)
            assert answer.status_code < 500, answer.text
            if answer.status_code != 200:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
            if n % 50 == 0:
                assert client.post("/score", json=BODY).json()["data"] == expected
        assert client.post("/score", json=BODY).json()["data"] == expected


def test_what_is_counted_has_a_place_in_the_queue_and_gives_it_back(served, monkeypatch):
    sign, count = threading.Event(), Served.lengths

    def waiting(self, texts):
        sign.wait(10)
        return count(self, texts)

    monkeypatch.setattr(Served, "lengths", waiting)
    with listening(served, queue_rows=3, max_wait_ms=0) as server:
        first = raw(server, {"text_1": "a", "text_2": ["b", "c"]})
        until(lambda: server.state.inside == 1)
        until(lambda: post(server, {"text_1": "a", "text_2": ["b", "c"]}).status_code == 429)
        first.close()
        until(lambda: server.state.inside == 0)
        assert metric(server, 'flipkd_requests_total{outcome="gone"') == 1
        sign.set()
        assert post(server, {"text_1": "a", "text_2": ["b", "c"]}).status_code == 200


def test_a_short_request_does_not_wait_until_a_long_one_is_counted(served, monkeypatch):
    counted, count = [], Served.lengths

    def slowly(self, texts):
        counted.append(len(texts))
        time.sleep(0.05)
        return count(self, texts)

    monkeypatch.setattr(Served, "lengths", slowly)
    monkeypatch.setattr("flipkd.serving.service.TURN", 10)
    with listening(served, max_wait_ms=0) as server:
        first = raw(server, {"text_1": "a", "text_2": [f"text {number}" for number in range(60)]})
        until(lambda: counted)
        assert post(server).status_code == 200
        assert len(counted) < 60
        first.close()


def test_more_connections_than_are_let_in_are_told_to_come_later(served, slow):
    with listening(served, max_connections=2) as server, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(post, server)
        while not slow.batches:
            time.sleep(0.005)
        with httpx2.Client() as idle, httpx2.Client() as late:
            where = f"http://127.0.0.1:{server.port}/health"
            codes = [client.get(where).status_code for client in (idle, late)]
        slow.set()
        assert waiting.result().status_code == 200
    assert codes == [200, 503]
