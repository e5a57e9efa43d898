"""The same index behind a URI: a real milvus-lite server on loopback."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from flipkd import FaqIndex, FlipkdError
from flipkd.retrieval.engine import Place
from flipkd.retrieval.entries import Entry

pytest.importorskip("milvus_lite", reason="needs the extra index")


@contextmanager
def served(folder):
    """A server's process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("milvus-lite")
    words = [command, "server", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    with served(tmp_path_factory.mktemp("server") / "data") as (_, address):
        yield address


@pytest.mark.parametrize("stage", ["dense", "bm25", "hybrid"])
def test_a_server_answers_as_a_folder_does(matcher, entries, uri, tmp_path, stage):
    place = Place(uri, f"same_{stage}")
    with (
        FaqIndex.build(matcher, entries, tmp_path / "idx") as local,
        FaqIndex.build(matcher, entries, place) as remote,
    ):
        for query in ("reset my card", "pay with gold"):
            one, other = (each.search(query, first_stage=stage) for each in (local, remote))
            assert one.candidates == other.candidates
            assert one.hits == other.hits


def test_a_server_keeps_changes_and_serves_several_at_once(matcher, entries, uri):
    place = Place(uri, "changes")
    with FaqIndex.build(matcher, entries, place) as index, FaqIndex.open(place, matcher) as second:
        index.add([Entry("new", "top up by zebra"), Entry("pin", "change my pin")])
        index.remove(["gold"])
        assert second.search("zebra", first_stage="bm25").candidates == ("new",)
        assert len(second) == 5


def test_a_taken_name_is_refused_and_the_old_index_stays_until_the_new_one_is_whole(matcher, entries, uri):
    place = Place(uri, "taken")
    FaqIndex.build(matcher, entries, place).close()
    with pytest.raises(FlipkdError, match="already there"):
        FaqIndex.build(matcher, entries, place)
    with pytest.raises(FlipkdError, match="'long'"):
        FaqIndex.build(matcher, [Entry("long", "x " * 40_000)], place, overwrite=True)
    with FaqIndex.open(place, matcher) as index:
        assert len(index) == 5
    with FaqIndex.build(matcher, entries[:2], place, overwrite=True) as index:
        assert len(index) == 2
    from pymilvus import MilvusClient

    client = MilvusClient(uri)
    assert [name for name in client.list_collections() if "partial" in name] == []
    client.close()


def test_a_uri_without_a_server_is_one_clear_error(matcher):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FlipkdError, match="no Milvus answers there"):
            FaqIndex.open(Place(address), matcher)


def test_a_missing_collection_is_one_clear_error(matcher, uri):
    with pytest.raises(FlipkdError, match="no such collection"):
        FaqIndex.open(Place(uri, "nothing"), matcher)


def test_a_collection_that_another_model_built_again_is_noticed(answering, matcher, entries, uri):
    place = Place(uri, "again")
    with FaqIndex.build(matcher, entries, place) as index:
        other = answering("decoder", "encoder")
        other.fingerprint = "of another model"
        FaqIndex.build(other, entries, place, overwrite=True).close()
        for use in (lambda: index.search("pin"), lambda: index.add([Entry("new", "a new one")])):
            with pytest.raises(FlipkdError, match="was built again"):
                use()
    from pymilvus import MilvusClient

    client = MilvusClient(uri)
    assert [name for name in client.list_collections() if name.startswith("again")] == ["again"]
    client.close()


def test_a_collection_that_was_let_go_is_loaded_again(matcher, entries, uri):
    from pymilvus import MilvusClient

    place = Place(uri, "released")
    with FaqIndex.build(matcher, entries, place) as index:
        client = MilvusClient(uri)
        client.release_collection("released")  # as after the server was started anew
        client.close()
        # Which hit a tiny trained model puts first differs from machine to machine.
        assert "gold" in index.search("pay with gold").candidates


def test_a_server_that_hangs_is_given_up(matcher, entries, tmp_path, monkeypatch):
    monkeypatch.setattr("flipkd.retrieval.store.TIMEOUT", 2.0)
    with served(tmp_path / "data") as (process, address), FaqIndex.build(matcher, entries, Place(address)) as index:
        process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(FlipkdError, match="Milvus does not answer: Deadline Exceeded"):
                index.search("pin")
            assert time.monotonic() - began < 30
        finally:
            process.send_signal(signal.SIGCONT)
