"""What is counted and what is logged: never a text."""

import logging

import pytest

from flipkd import FlipkdError
from flipkd.matching.matcher import Matcher

SECRET = "lost stolen secret"  # pragma: allowlist secret


def metrics(client):
    lines = client.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}


def requests(found):
    return {name: value for name, value in found.items() if name.startswith("flipkd_requests_total")}


def test_requests_are_counted_by_route_and_outcome(make_client):
    with make_client(max_body_mb=0.001) as client:
        client.post("/score", json={"text_1": "a", "text_2": ["b", "c"]})
        client.post("/score", json={"text_1": "a"})
        client.post("/score", json={"text_1": "a" * 2000, "text_2": "b"})
        client.post("/v2/rerank", json={"query": "a", "documents": ["b"], "model": "x"})
        client.get("/v1/models/loans")
        client.get(f"/{SECRET}")
        client.get("/score")
        found = metrics(client)
    assert requests(found) == {
        'flipkd_requests_total{outcome="ok",route="/score"}': 1,
        'flipkd_requests_total{outcome="invalid",route="/score"}': 1,
        'flipkd_requests_total{outcome="too_large",route="/score"}': 1,
        'flipkd_requests_total{outcome="not_found",route="/v2/rerank"}': 1,
        'flipkd_requests_total{outcome="ok",route="/v1/models/{name}"}': 1,
        'flipkd_requests_total{outcome="not_found",route="other"}': 1,
        'flipkd_requests_total{outcome="refused",route="/score"}': 1,
    }
    assert found["flipkd_batch_rows_sum"] == 2
    assert found["flipkd_batch_tokens_count"] == found["flipkd_inference_seconds_count"] == 1
    assert found["flipkd_batch_tokens_sum"] > 4
    assert found["flipkd_queue_seconds_count"] == 1
    assert (found["flipkd_queue_rows"], found["flipkd_queue_tokens"]) == (0, 0)
    assert found['flipkd_request_seconds_count{route="/score"}'] == 4


def test_the_log_has_a_line_a_request_and_no_text(make_client, caplog):
    with caplog.at_level(logging.INFO), make_client() as client:
        client.post("/score?q=" + SECRET, json={"text_1": SECRET, "text_2": SECRET}, headers={"X-Request-ID": "id-7"})
        client.get("/" + SECRET)
        client.request(SECRET.split()[0], "/score")
    lines = [record.getMessage() for record in caplog.records if record.name == "flipkd.serving"]
    assert lines[0].startswith("id=id-7 method=POST route=/score status=200 ms=")
    assert "method=GET route=other status=404" in lines[1]
    assert "method=other" in lines[2]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert not any(word in line for line in ours for word in SECRET.split())


def test_the_log_can_be_turned_off(make_client, caplog):
    with caplog.at_level(logging.INFO), make_client(access_log=False) as client:
        client.get("/health")
    assert [record for record in caplog.records if record.name == "flipkd.serving"] == []


@pytest.mark.parametrize("given", ["a b", "x" * 65, "ü", "\t"])
def test_a_request_id_that_is_not_plain_is_replaced(client, given):
    found = client.get("/health", headers={"X-Request-ID": given.encode()}).headers["X-Request-ID"]
    assert len(found) == 32


def test_a_fault_is_a_500_with_its_id_and_no_text_in_the_log(make_client, caplog, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError(f"cannot read {SECRET}")

    with make_client() as client:
        monkeypatch.setattr(Matcher, "match_many", broken)
        answer = client.post("/score", json={"text_1": SECRET, "text_2": "b"}, headers={"X-Request-ID": "id-9"})
        assert answer.status_code == 500
        assert "id-9" in answer.json()["error"]["message"]
        assert SECRET not in answer.text
        monkeypatch.undo()
        assert client.post("/score", json={"text_1": SECRET, "text_2": "b"}).status_code == 200
    (logged,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert logged.startswith("id=id-9 fault=RuntimeError")
    assert "in match_many" in logged or "in broken" in logged
    assert SECRET not in logged


def test_what_the_student_refuses_is_the_clients_fault(make_client, monkeypatch):
    def refuses(*_, **__):
        raise FlipkdError("no usable vector")

    with make_client() as client:
        monkeypatch.setattr(Matcher, "match_many", refuses)
        answer = client.post("/score", json={"text_1": "a", "text_2": "b"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no usable vector")
