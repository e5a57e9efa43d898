"""An index as it is built: by its own engine, and of what an entry is found by."""

import pytest

from flipkd import FaqIndex

pytest.importorskip("milvus_lite", reason="needs the extra index")


def test_a_proxy_of_the_environment_is_not_asked_for_the_own_engine(matcher, entries, tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as made:
        assert made.search(entries[0].question).candidates


def test_an_entry_is_found_by_its_answer_where_that_is_indexed(matcher, entries, tmp_path):
    for with_answer, found in ((True, ("open",)), (False, ())):
        with FaqIndex.build(matcher, entries, tmp_path / f"idx-{with_answer}", with_answer=with_answer) as index:
            assert index.search("online", first_stage="bm25").candidates == found
