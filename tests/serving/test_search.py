"""/search, over a real index on disk."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from flipkd import FaqIndex, FlipkdError, Matcher
from flipkd.retrieval.engine import Place
from flipkd.retrieval.entries import Entry
from flipkd.serving.config import ServeConfig
from flipkd.serving.models import load_served

ENTRIES = [
    Entry("pin", "how do i reset my pin", "In the app.", {"topic": "cards"}),
    Entry("stolen", "my card was stolen", "Call us."),
    Entry("open", "how do i open a new account", "Online."),
]


@pytest.fixture(scope="module")
def place(folders, tmp_path_factory):
    place = tmp_path_factory.mktemp("index") / "faq"
    FaqIndex.build(Matcher.from_pretrained(folders["cards"], device="cpu"), ENTRIES, place).close()
    return str(place)


@pytest.fixture(scope="module")
def indexed(folders, place):
    config = ServeConfig(model=folders["cards"], models={"loans": folders["loans"]}, index=place, device="cpu")
    served = load_served(config)
    yield served
    served["cards"].index.close()


def test_search_answers_as_the_index(indexed, make_client):
    expected = indexed["cards"].index.search("how do i reset my pin", top=2)
    with make_client(indexed) as client:
        found = client.post("/search", json={"query": "how do i reset my pin", "top": 2}).json()
    assert [row["id"] for row in found["results"]] == [hit.entry.id for hit in expected.hits]
    first, hit = found["results"][0], expected.hits[0]
    assert first["question"] == hit.entry.question
    assert (first["answer"], first["extra"]) == (hit.entry.answer, hit.entry.extra)
    for name in ("similarity", "probability", "logit"):
        assert first[name] == pytest.approx(getattr(hit, name), abs=1e-4)
    assert found["answer"] == (first if hit.match else None)
    assert found["artefact"]["name"] == "cards"
    assert {row["decision"] for row in found["results"]} == {None}


def test_no_match_is_no_answer(indexed, make_client, monkeypatch):
    matcher = indexed["cards"].matcher
    with make_client(indexed) as client:
        for threshold, answered in ((0.0, True), (1.1, False)):
            monkeypatch.setattr(matcher, "answer", replace(matcher.answer, threshold=threshold))
            found = client.post("/search", json={"query": "reset my pin"}).json()
            assert len(found["results"]) == 3
            assert (found["answer"] is not None) == answered


def test_a_policy_of_bands_decides_hits_and_pairs_alike(folders, tmp_path, make_client):
    place = str(tmp_path / "faq")
    FaqIndex.build(Matcher.from_pretrained(folders["cards"], device="cpu"), ENTRIES, place).close()
    served = load_served(ServeConfig(model=folders["cards"], index=place, policy="bands=0.4:0.4", device="cpu"))
    one = served["cards"]
    # Bands that part the hits at hand; the toy's own hardly differ.
    probability = sorted(hit.probability for hit in one.index.search("reset my pin").hits)
    one.matcher.answer = replace(one.matcher.answer, threshold=probability[2] + 1e-6)
    one.matcher.bands = replace(one.matcher.bands, reject=probability[1] - 1e-6)
    with make_client(served) as client:
        found = client.post("/search", json={"query": "reset my pin"}).json()
        pairs = [["reset my pin", row["question"]] for row in found["results"]]
        matched = client.post("/match", json={"pairs": pairs}).json()["data"]
    one.index.close()
    assert [row["decision"] for row in found["results"]] == ["review", "review", "reject"]
    assert [row["decision"] for row in matched] == ["review", "review", "reject"]
    assert found["answer"] is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": " "}, "empty text"),
        ({"query": "\u200b"}, "empty text"),
        ({"query": "a", "top": 0}, "top"),
        ({"query": "a", "top": 101}, "top"),
        ({}, "query"),
        ({"query": "a", "model": "loans"}, "another artefact"),
    ],
)
def test_other_questions_are_refused(indexed, make_client, body, words):
    with make_client(indexed) as client:
        refused = client.post("/search", json=body)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]


def test_the_tokens_are_those_of_the_query(indexed, make_client):
    with make_client(indexed) as client:
        found = client.post("/search", json={"query": "reset my pin"}).json()
    of = {"reset my pin": indexed["cards"].lengths(["reset my pin"])[0]}
    assert found["usage"]["prompt_tokens"] == indexed["cards"].count([("reset my pin",)], of).tokens[0]


def test_an_index_that_does_not_answer_is_no_fault_of_the_client(indexed, make_client, monkeypatch):
    def broken(*_, **__):
        raise FlipkdError("/secret/place: the engine does not answer")

    with make_client(indexed) as client:
        monkeypatch.setattr(FaqIndex, "find", broken)
        refused = client.post("/search", json={"query": "reset my pin"})
        counted = client.get("/metrics").text
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "index_unavailable")
    assert "secret" not in refused.text
    assert 'flipkd_requests_total{outcome="unavailable",route="/search"} 1.0' in counted


def test_a_search_prints_nothing(indexed, make_client, capfd):
    with make_client(indexed, access_log=False) as client:
        capfd.readouterr()
        assert client.post("/search", json={"query": "reset my pin"}).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_the_candidates_of_a_search_are_verified_in_batches(indexed, make_client, monkeypatch):
    batches, answer = [], Matcher.match_arrays

    def seen(self, text_a, text_b, **options):
        batches.append(len(text_a))
        return answer(self, text_a, text_b, **options)

    expected = indexed["cards"].index.search("how do i reset my pin")
    monkeypatch.setattr(Matcher, "match_arrays", seen)
    with make_client(indexed, batch_tokens=1) as client:
        found = client.post("/search", json={"query": "how do i reset my pin"}).json()
    assert batches == [1, 1, 1]
    assert [row["id"] for row in found["results"]] == [hit.entry.id for hit in expected.hits]


def test_an_index_that_hangs_keeps_no_other_request(indexed, make_client, monkeypatch):
    sign, asked, find = Event(), Event(), FaqIndex.find

    def hanging(self, *words, **options):
        asked.set()
        sign.wait(30)
        return find(self, *words, **options)

    monkeypatch.setattr(FaqIndex, "find", hanging)
    with make_client(indexed) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/search", json={"query": "reset my pin"})
        assert asked.wait(30)
        assert client.post("/score", json={"text_1": "a", "text_2": "b"}).status_code == 200
        assert not waiting.done()
        sign.set()
        assert waiting.result().status_code == 200


def test_an_index_of_another_name_is_served_and_its_match_rate_looked_at(folders, tmp_path, monkeypatch):
    where = Place(str(tmp_path / "faq"), "cards")
    FaqIndex.build(Matcher.from_pretrained(folders["cards"], device="cpu"), ENTRIES, where).close()
    options = {"model": folders["cards"], "index": where.path, "device": "cpu"}
    asked = []
    monkeypatch.setattr("flipkd.serving.models.announce_rate", lambda index, *, prior: asked.append((index, prior)))
    (one,) = load_served(ServeConfig(**options, index_collection="cards")).values()
    assert len(one.index) == len(ENTRIES)
    assert asked == [(one.index, None)]
    one.index.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index_collection": "other"}, "is no index"),
        ({"index_token_file": "none.txt"}, "must hold the server's token"),
    ],
)
def test_a_wrong_index_is_known_before_a_model_is_loaded(folders, place, options, words, monkeypatch):
    monkeypatch.setattr("flipkd.serving.models.Matcher.from_pretrained", None)
    with pytest.raises(FlipkdError, match=words):
        load_served(ServeConfig(model=folders["cards"], index=place, device="cpu", **options))
