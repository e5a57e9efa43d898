"""Who is let in, and how much they may send."""

import pytest

from flipkd import FlipkdError
from flipkd.serving.config import ServeConfig
from flipkd.serving.gate import read_keys

KEY = "a-key-of-sixteen-letters"
BODY = {"text_1": "reset my pin", "text_2": "open account"}


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# of the shop\n{KEY}\n\nanother-key-of-the-shop\n")
    file.chmod(0o600)
    return str(file)


def error(answer, status, code):
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    return answer


@pytest.mark.parametrize("sent", [None, "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer ключ"])
def test_without_a_known_key_nobody_is_let_in(make_client, key_file, sent):
    headers = {} if sent is None else {"Authorization": sent.encode()}
    with make_client(api_key_file=key_file) as client:
        for answer in (
            client.post("/score", json=BODY, headers=headers),
            client.get("/v1/models", headers=headers),
            client.get("/metrics", headers=headers),
            client.get("/nothing", headers=headers),
        ):
            assert error(answer, 401, "invalid_api_key").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("sent", [f"Bearer {KEY}", f"bearer  {KEY} ", "Bearer another-key-of-the-shop"])
def test_each_key_of_the_file_is_let_in(make_client, key_file, sent):
    with make_client(api_key_file=key_file) as client:
        assert client.post("/score", json=BODY, headers={"Authorization": sent}).status_code == 200


def test_health_and_documentation_need_no_key_and_say_that_the_rest_does(make_client, key_file):
    with make_client(api_key_file=key_file) as client:
        for path in ("/health", "/ready", "/docs", "/static-offline-docs/swagger-ui.css"):
            assert client.get(path).status_code == 200
        described = client.get("/openapi.json").json()
    assert described["paths"]["/score"]["post"]["security"] == [{"key": []}]
    assert "security" not in described["paths"]["/health"]["get"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no key"),
        ("# nothing\n", "has no key"),
        ("long-enough-to-be-a-key\nshort\n", "line 2: a key has at least 16"),
        ("a key with blanks in it", "line 1"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_refused(tmp_path, text, words):
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
    with pytest.raises(FlipkdError, match=words) as refused:
        read_keys(str(file))
    assert "blanks in it" not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_key_or_of_a_comment(tmp_path):
    file = tmp_path / "keys"
    for text, known in ((KEY, True), (f"#{KEY}\nanother-key-of-16\n", False)):
        file.write_text(text, encoding="utf-8-sig")
        assert read_keys(str(file)).know(KEY.encode()) is known


def test_a_file_of_keys_that_others_can_read_is_told(tmp_path, capsys):
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "keys").chmod(0o644)
    read_keys(str(tmp_path / "keys"))
    assert "chmod 600" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_without_a_key_a_foreign_host_name_is_refused(client, make_client, host):
    error(client.post("/score", json=BODY, headers={"Host": host}), 421, "unknown_host")
    with make_client(allow_anonymous=True) as anonymous:
        assert anonymous.post("/score", json=BODY, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_the_names_of_this_machine_are_let_in(client, host):
    assert client.post("/score", json=BODY, headers={"Host": host}).status_code == 200


def test_no_other_site_may_read_answers(client):
    answer = client.post("/score", json=BODY, headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/score", headers=asked).status_code == 405


def test_a_body_that_is_no_json_type_is_refused(client):
    """A page of another site can send text/plain without asking first."""
    answer = client.post("/score", content=b'{"text_1": "a", "text_2": "b"}', headers={"Content-Type": "text/plain"})
    assert error(answer, 400, "invalid_request")
    assert "application/json" in answer.json()["error"]["message"]


def test_too_large_a_body_is_refused_announced_or_not(make_client):
    with make_client(max_body_mb=0.001) as client:
        body = {"text_1": "a " * 1000, "text_2": "b"}
        error(client.post("/score", json=body), 413, "body_too_large")
        chunks = (b"x" * 300 for _ in range(5))
        error(client.post("/score", content=chunks), 413, "body_too_large")
        assert client.post("/score", json=BODY).status_code == 200


def test_rows_and_characters_are_bounded(make_client):
    with make_client(max_rows=2, max_characters=30) as client:
        many = client.post("/score", json={"text_1": "a", "text_2": ["b", "c", "d"]})
        assert "at most 2 a request" in error(many, 400, "too_many_rows").json()["error"]["message"]
        error(client.post("/score", json={"text_1": "a", "text_2": "b" * 31}), 400, "text_too_long")
        assert client.post("/score", json=BODY).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_needs_a_key_or_the_flag(host):
    with pytest.raises(FlipkdError, match="--api-key-file, or --allow-anonymous"):
        ServeConfig(model="x", host=host)
    ServeConfig(model="x", host=host, allow_anonymous=True)
    ServeConfig(model="x", host=host, api_key_file="keys")  # pragma: allowlist secret


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_this_machine_needs_none(host):
    ServeConfig(model="x", host=host)
