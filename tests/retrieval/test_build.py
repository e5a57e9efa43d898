"""An index as it is built: by its own engine, and of what an entry is found by."""

import pytest

from flipkd import FaqIndex
from flipkd.errors import FlipkdError

pytest.importorskip("milvus_lite", reason="needs the extra index")


def test_a_proxy_of_the_environment_is_not_asked_for_the_own_engine(matcher, entries, tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as made:
        assert made.search(entries[0].question).candidates


def test_the_own_engine_is_not_pinged_between_calls(matcher, entries, tmp_path, monkeypatch):
    """After two minutes of them, while a model computes, it closes the connection and says so on the terminal."""
    import pymilvus

    asked, client = {}, pymilvus.MilvusClient
    monkeypatch.setattr(pymilvus, "MilvusClient", lambda uri, **given: asked.update(given) or client(uri, **given))
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    assert asked["grpc_options"]["grpc.keepalive_permit_without_calls"] == 0


def test_an_entry_is_found_by_its_answer_where_that_is_indexed(matcher, entries, tmp_path):
    for with_answer, found in ((True, ("open",)), (False, ())):
        with FaqIndex.build(matcher, entries, tmp_path / f"idx-{with_answer}", with_answer=with_answer) as index:
            assert index.search("online", first_stage="bm25").candidates == found


@pytest.mark.parametrize("foreign", ["faq.csv", "databases/shop/collections/orders/schema.json"])
def test_what_else_is_in_an_indexs_folder_is_not_lost(matcher, entries, tmp_path, foreign):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    file = tmp_path / "idx" / foreign
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    with pytest.raises(FlipkdError, match=r"too \((faq.csv|database shop)\), which would be lost"):
        FaqIndex.build(matcher, entries[:2], tmp_path / "idx", overwrite=True)
    assert file.read_text() == "mine"


def test_of_a_link_the_index_it_leads_to_is_replaced(matcher, entries, tmp_path):
    FaqIndex.build(matcher, entries, tmp_path / "there").close()
    link = tmp_path / "idx"
    link.symlink_to(tmp_path / "there")
    FaqIndex.build(matcher, entries[:2], link, overwrite=True).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["idx", "there"]
    assert link.is_symlink()
    with FaqIndex.open(tmp_path / "there", matcher) as index:
        assert len(index) == 2
