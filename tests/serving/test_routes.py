"""Requests and answers in the shapes of the servers that clients know, and equal to the Matcher's."""

import base64
import json

import numpy as np
import pytest
from pydantic import ValidationError

from flipkd.matching.matcher import Matcher
from flipkd.serving.app import _own_names
from flipkd.serving.config import ServeConfig
from flipkd.serving.schemas import SPELLINGS, EmbeddingRequest, MatchRequest, RerankRequest, ScoreRequest
from tiny import texts

QUERY, DOCUMENTS = "reset my pin", texts(6, 3)


def post(client, path, **body):
    return client.post(path, json=body)


def good(client, path, **body):
    answer = post(client, path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def matcher(folders):
    return Matcher.from_pretrained(folders["cards"], device="cpu")


def probabilities(matcher, pairs):
    return [found.probability for found in matcher.match_many(pairs)]


@pytest.mark.parametrize("names", SPELLINGS, ids=" ".join)
def test_score_takes_all_four_spellings_and_broadcasts(client, matcher, names):
    found = good(client, "/score", **{names[0]: QUERY, names[1]: DOCUMENTS})
    assert found["object"] == "list"
    assert found["model"] == "cards"
    assert isinstance(found["created"], int)
    assert [row["index"] for row in found["data"]] == list(range(6))
    assert {row["object"] for row in found["data"]} == {"score"}
    expected = probabilities(matcher, [(QUERY, text) for text in DOCUMENTS])
    np.testing.assert_allclose([row["score"] for row in found["data"]], expected, atol=1e-5)


def test_score_zips_two_lists(client, matcher):
    found = good(client, "/score", text_1=DOCUMENTS[:3], text_2=DOCUMENTS[3:])
    expected = probabilities(matcher, list(zip(DOCUMENTS[:3], DOCUMENTS[3:], strict=True)))
    np.testing.assert_allclose([row["score"] for row in found["data"]], expected, atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        {"queries": "a"},
        {},
        {"queries": "a", "text_2": "b"},
        {"queries": "a", "documents": "b", "items": "c"},
        {"text_1": "a", "text_2": "b", "data_1": "a", "data_2": "b"},
    ],
)
def test_score_refuses_a_mixture_of_spellings(client, body):
    answer = post(client, "/score", **body)
    assert answer.status_code == 400
    assert "exactly one of queries and documents, queries and items" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_sorts_documents_by_probability(client, matcher, path):
    documents = [*DOCUMENTS[:4], {"text": DOCUMENTS[4]}, {"text": DOCUMENTS[5], "title": "x"}]
    found = good(client, path, query=QUERY, documents=documents, top_n=4)
    ranked = matcher.rank(QUERY, DOCUMENTS, top=4)
    assert [row["index"] for row in found["results"]] == [row.index for row in ranked]
    scores = [row["relevance_score"] for row in found["results"]]
    np.testing.assert_allclose(scores, [row.probability for row in ranked], atol=1e-5)
    assert [row["document"]["text"] for row in found["results"]] == [DOCUMENTS[row.index] for row in ranked]


def test_rerank_gives_all_without_top_n_and_leaves_documents_out_when_asked(client):
    assert len(good(client, "/rerank", query=QUERY, documents=DOCUMENTS, top_n=0)["results"]) == 6
    found = good(client, "/rerank", query=QUERY, documents=DOCUMENTS, return_documents=False)["results"]
    assert [row["document"] for row in found] == [None] * 6


def test_embeddings_are_the_matchers_vectors_as_numbers_and_as_base64(client, matcher):
    expected = matcher.encode(DOCUMENTS)
    found = good(client, "/v1/embeddings", input=DOCUMENTS, dimensions=expected.shape[1])["data"]
    np.testing.assert_allclose([row["embedding"] for row in found], expected, atol=1e-5)
    packed = good(client, "/v1/embeddings", input=DOCUMENTS, encoding_format="base64")["data"]
    vectors = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in packed]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    (one,) = good(client, "/v1/embeddings", input=QUERY)["data"]
    assert (one["index"], one["object"]) == (0, "embedding")


def test_match_gives_all_that_is_known(client, matcher):
    pairs = list(zip(DOCUMENTS[:3], DOCUMENTS[3:], strict=True))
    found = good(client, "/match", pairs=pairs)
    assert found["threshold"] == matcher.answer.threshold
    for row, expected in zip(found["data"], matcher.match_many(pairs), strict=True):
        assert row["match"] == expected.match
        for name in ("probability", "similarity", "logit"):
            assert row[name] == pytest.approx(getattr(expected, name), abs=1e-4)


def test_rows_of_requests_at_once_are_answered_as_alone(make_client, matcher):
    from concurrent.futures import ThreadPoolExecutor

    pairs = [list(zip(texts(7, n), texts(7, n + 50), strict=True)) for n in range(12)]
    with make_client(batch_tokens=60, max_wait_ms=5) as client, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda some: good(client, "/match", pairs=some), pairs))
    for answer, some in zip(found, pairs, strict=True):
        scores = [row["probability"] for row in answer["data"]]
        np.testing.assert_allclose(scores, probabilities(matcher, some), atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", {"queries": QUERY, "documents": DOCUMENTS}),
        ("/rerank", {"query": QUERY, "documents": DOCUMENTS}),
        ("/match", {"pairs": [[QUERY, DOCUMENTS[0]]]}),
        ("/v1/embeddings", {"input": QUERY}),
    ],
)
def test_every_answer_names_the_artefact_its_hash_and_its_tokens(client, served, path, body):
    for name in ("cards", "loans"):
        found = good(client, path, **body, model=name)
        assert found["artefact"] == {"name": name, "hash": served[name].hash}
        assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > 3
    refused = post(client, path, **body, model="gpt-4")
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "model_not_found"
    assert "cards, loans" in refused.json()["error"]["message"]


def test_texts_that_are_cut_are_counted(client):
    assert good(client, "/score", queries=QUERY, documents=["card " * 100, QUERY])["usage"]["cut_texts"] == 1


def test_models_are_listed_with_the_default_first(client, served):
    found = client.get("/v1/models").json()["data"]
    assert [(card["id"], card["hash"]) for card in found] == [(name, served[name].hash) for name in ("cards", "loans")]
    assert client.get("/v1/models/loans").json() == found[1]
    assert client.get("/v1/models/other").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, "token ids"),
        ("/v1/embeddings", {"input": [1, 2]}, "token ids"),
        ("/v1/embeddings", {"input": []}, "input is empty"),
        ("/v1/embeddings", {"input": "a", "dimensions": 5}, "12 dimensions"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ("/v1/embeddings", {"input": "a", "embed_dtype": "float16"}, "embed_dtype is not supported"),
        ("/score", {"text_1": "a", "text_2": "b", "use_activation": False}, "/match gives the logit"),
        ("/score", {"text_1": "a", "text_2": "b", "truncate_prompt_tokens": 8}, "cut where it was cut in training"),
        (
            "/score",
            {"text_1": "a", "text_2": 7},
            "text_2: Input should be a valid string; or Input should be a valid list",
        ),
        ("/score", {"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1 has 2 texts and text_2 has 3"),
        ("/rerank", {"query": "a", "documents": []}, "documents"),
        (
            "/rerank",
            {"query": "a", "documents": [{"title": "x"}]},
            "documents.0: Input should be a valid string; or Field required",
        ),
        ("/rerank", {"query": "a", "documents": ["x"], "top_n": -1}, "top_n"),
        ("/rerank", {"query": "a", "documents": ["x"], "max_tokens_per_doc": 9}, "max_tokens_per_doc"),
        ("/rerank", {"query": "a", "documents": ["x"], "max_tokens_per_query": 9}, "max_tokens_per_query"),
        ("/score", {"text_1": "a", "text_2": "b", "chat_template_kwargs": {"x": "x"}}, "chat_template_kwargs"),
        ("/v1/embeddings", {"input": "a", "add_special_tokens": False}, "encoded as in training"),
        ("/rerank", {"query": " ", "documents": ["x"]}, "empty text"),
        ("/match", {"pairs": [["a", "b", "c"]]}, "pairs.0"),
    ],
)
def test_what_would_be_misread_is_refused_in_openais_shape(client, path, body, words):
    answer = post(client, path, **body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}


def test_fields_that_change_nothing_are_ignored(client):
    extra = {"user": "u", "priority": 3, "truncate_prompt_tokens": -1, "use_activation": True, "something": [1]}
    extra |= {"max_tokens_per_doc": 0, "max_tokens_per_query": 0, "chat_template_kwargs": {}}
    extra |= {"add_special_tokens": True}
    plain = good(client, "/score", text_1=QUERY, text_2=DOCUMENTS)
    assert good(client, "/score", text_1=QUERY, text_2=DOCUMENTS, **extra)["data"] == plain["data"]


def test_a_lone_surrogate_is_refused_and_not_repeated(client):
    body = json.dumps({"text_1": "\ud800", "text_2": "b"}).encode()
    answer = client.post("/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_text"


def test_the_documentation_asks_no_other_host(client):
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_no_search_without_an_index(client):
    assert post(client, "/search", query="a").status_code == 404


def test_vllms_other_address_of_scores_answers_too(client):
    body = {"text_1": "reset my pin", "text_2": "open account"}
    assert client.post("/v1/score", json=body).json()["data"] == client.post("/score", json=body).json()["data"]


@pytest.mark.parametrize(
    ("request_of", "fields"),
    [
        (RerankRequest, {"query": "a", "documents": [1] * 1000}),
        (ScoreRequest, {"text_1": "a", "text_2": [1] * 1000}),
        (MatchRequest, {"pairs": [[1, 2]] * 1000}),
        (EmbeddingRequest, {"input": [None] * 1000}),
    ],
)
def test_the_first_faults_of_a_long_list_end_its_reading(request_of, fields):
    with pytest.raises(ValidationError) as found:
        request_of.model_validate(fields)
    assert found.value.error_count() <= 4


def test_without_a_key_the_servers_own_address_is_a_name_of_this_machine():
    names = _own_names(ServeConfig(model="x", host="127.0.0.2"))
    assert {b"127.0.0.2", b"localhost"} <= names
    assert _own_names(ServeConfig(model="x", host="0.0.0.0", allow_anonymous=True)) is None
