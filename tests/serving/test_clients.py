"""The clients that others use, unchanged, against a server that listens."""

import base64

import numpy as np
import pytest

from flipkd.matching.matcher import Matcher
from serving.live import listening
from tiny import texts

KEY = "a-key-of-sixteen-letters"
QUERY, DOCUMENTS = "reset my pin", texts(6, 3)


@pytest.fixture(scope="module")
def url(served, tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(KEY)
    file.chmod(0o600)
    with listening(served, api_key_file=str(file)) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def matcher(folders):
    return Matcher.from_pretrained(folders["loans"], device="cpu")


@pytest.fixture(scope="module")
def ranked(matcher):
    return matcher.rank(QUERY, DOCUMENTS, top=3)


def same_ranking(found, ranked):
    assert [index for index, _ in found] == [one.index for one in ranked]
    np.testing.assert_allclose([score for _, score in found], [one.probability for one in ranked], atol=1e-5)


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_openai_embeds(url, matcher, encoding):
    openai = pytest.importorskip("openai", reason="pip install '.[clients]'")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    chosen = {} if encoding is None else {"encoding_format": encoding}
    found = client.embeddings.create(model="loans", input=DOCUMENTS, **chosen)
    vectors = [row.embedding for row in found.data]
    if encoding == "base64":
        vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
    np.testing.assert_allclose(vectors, matcher.encode(DOCUMENTS), atol=1e-5)
    assert found.model == "loans"
    assert found.usage.total_tokens > 0


def test_openai_understands_the_refusals(url):
    openai = pytest.importorskip("openai", reason="pip install '.[clients]'")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="gpt-4", input="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.embeddings.create(model="loans", input=[[1, 2]])
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").embeddings.create(model="loans", input="a")  # pragma: allowlist secret
    assert [model.id for model in client.models.list()] == ["cards", "loans"]
    assert client.models.retrieve("loans").id == "loans"


def test_cohere_reranks_by_both_of_its_versions(url, ranked):
    cohere = pytest.importorskip("cohere", reason="pip install '.[clients]'")
    for kind in (cohere.ClientV2, cohere.Client):
        found = kind(api_key=KEY, base_url=url).rerank(model="loans", query=QUERY, documents=DOCUMENTS, top_n=3)
        same_ranking([(row.index, row.relevance_score) for row in found.results], ranked)


def test_cohere_reranks_documents_as_objects(url, ranked):
    cohere = pytest.importorskip("cohere", reason="pip install '.[clients]'")
    documents = [{"text": text} for text in DOCUMENTS]
    client = cohere.Client(api_key=KEY, base_url=url)
    found = client.rerank(model="loans", query=QUERY, documents=documents, top_n=3, return_documents=True)
    same_ranking([(row.index, row.relevance_score) for row in found.results], ranked)
    assert found.results[0].document.text == DOCUMENTS[ranked[0].index]


def test_langchain_embeds(url, matcher):
    langchain = pytest.importorskip("langchain_openai", reason="pip install '.[clients]'")
    client = langchain.OpenAIEmbeddings(
        model="loans", base_url=f"{url}/v1", api_key=KEY, check_embedding_ctx_length=False
    )
    np.testing.assert_allclose(client.embed_documents(DOCUMENTS), matcher.encode(DOCUMENTS), atol=1e-5)
    np.testing.assert_allclose(client.embed_query(QUERY), matcher.encode([QUERY])[0], atol=1e-5)


def test_haystack_embeds_documents_and_queries(url, matcher, monkeypatch):
    # On import it would note a user's id in the home folder, and report its use later.
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    haystack = pytest.importorskip("haystack", reason="pip install '.[clients]'")
    embedders, secret = pytest.importorskip("haystack.components.embedders"), pytest.importorskip("haystack.utils")
    where = {"api_key": secret.Secret.from_token(KEY), "api_base_url": f"{url}/v1", "model": "loans"}
    documents = [haystack.Document(content=text) for text in DOCUMENTS]
    found = embedders.OpenAIDocumentEmbedder(**where, progress_bar=False, raise_on_failure=True).run(documents)
    np.testing.assert_allclose([one.embedding for one in found["documents"]], matcher.encode(DOCUMENTS), atol=1e-5)
    query = embedders.OpenAITextEmbedder(**where).run(QUERY)["embedding"]
    np.testing.assert_allclose(query, matcher.encode([QUERY])[0], atol=1e-5)


def test_langchain_reranks(url, ranked):
    langchain = pytest.importorskip("langchain_cohere", reason="pip install '.[clients]'")
    client = langchain.CohereRerank(model="loans", cohere_api_key=KEY, base_url=url, top_n=3)
    found = client.rerank(DOCUMENTS, QUERY)
    same_ranking([(row["index"], row["relevance_score"]) for row in found], ranked)
