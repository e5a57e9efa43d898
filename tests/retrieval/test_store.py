"""What lies below an index: going through all rows, and the words of a collection."""

import json

import pytest

from flipkd import FaqIndex
from flipkd.errors import FlipkdError
from flipkd.retrieval.engine import Place, read_token
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.schema import Settings, make_schema

pytest.importorskip("milvus_lite", reason="needs the extra index")

STRANGE = ["faq\\pin", 'say "x"', "line\nbreak", 'z" or id != "', "%", "plain"]


@pytest.mark.parametrize("last", STRANGE)
def test_all_rows_come_once_whatever_the_greatest_id(matcher, tmp_path, last):
    entries = [Entry(name, f"question {number}") for number, name in enumerate(["0", f"~~{last}"])]
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as index:
        assert sorted(entry.id for entry in index.entries()) == [entry.id for entry in entries]


def test_all_rows_come_once_where_they_come_in_parts(matcher, tmp_path, monkeypatch):
    monkeypatch.setattr("flipkd.retrieval.store.PART", 2)
    # One text under many ids: they share a hash.
    entries = [Entry(f"{number}", f"question {number // 3}") for number in range(60)]
    with FaqIndex.build(matcher, entries, tmp_path / "idx") as index:
        assert sorted(index.entries(), key=lambda entry: int(entry.id)) == entries


@pytest.mark.parametrize("analyzer", ["standard", "jieba"])
def test_a_cluster_is_told_to_match_words_in_lower_case(analyzer):
    """Milvus Lite does so by itself; a cluster's bare tokenizers do not."""
    from pymilvus import MilvusClient

    settings = Settings("0c0ffee", 4, "hybrid", 20, False, False, analyzer)
    schema, _ = make_schema(MilvusClient, Place("http://cluster:19530"), settings)
    (field,) = [field for field in schema.to_dict()["fields"] if field["name"] == "text"]
    assert json.loads(field["params"]["analyzer_params"]) == {"tokenizer": analyzer, "filter": ["lowercase"]}


@pytest.mark.parametrize("damage", ["no list", "half a list", "no data"])
def test_an_index_that_lost_a_part_is_refused_and_loses_no_more(matcher, entries, tmp_path, damage):
    FaqIndex.build(matcher, entries, tmp_path / "idx").close()
    folder = tmp_path / "idx" / "collections" / "faq"
    (data,) = folder.rglob("data_*.parquet")
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    if damage == "no data":
        kept = data.read_bytes()
        data.unlink()
    else:
        manifest.unlink() if damage == "no list" else manifest.write_bytes(whole[: len(whole) // 2])
    what = "is missing" if damage == "no data" else "manifest.json is damaged"
    with pytest.raises(FlipkdError, match=f"{what}.*build the index again"):
        FaqIndex.open(tmp_path / "idx", matcher)
    data.write_bytes(kept) if damage == "no data" else manifest.write_bytes(whole)
    with FaqIndex.open(tmp_path / "idx", matcher) as index:
        assert len(index) == len(entries)


def test_a_token_in_another_encoding_names_its_file(tmp_path):
    (tmp_path / "token").write_text("secret", encoding="utf-16")
    with pytest.raises(FlipkdError, match="token: not UTF-8"):
        read_token(str(tmp_path / "token"))
