import gzip
import json

import pytest

from flipkd.errors import FlipkdError
from flipkd.experiments.sets import PairSet, draw

TOY = PairSet("toy", "none", "student", "teacher", rows=(6, 4, 3))


@pytest.fixture
def data(tmp_path):
    (tmp_path / "toy").mkdir()
    for split, count in {"train": 20, "validation": 10, "test": 3}.items():
        rows = [{"text_a": f"{split} {i}", "text_b": f"{split} b {i}", "label": i % 2} for i in range(count)]
        with gzip.open(tmp_path / "toy" / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_sample_is_the_same_every_time_and_knows_its_rows(data):
    first, second = draw(TOY, data), draw(TOY, data)
    assert [len(first.train), len(first.validation), len(first.test)] == [6, 4, 3]
    assert first.digest == second.digest
    assert [first.test.text_a[i] for i in range(3)] == [f"test {row}" for row in first.test_rows]


def test_another_label_is_another_sample(data):
    before = draw(TOY, data).digest
    file = data / "toy" / "test.jsonl.gz"
    written = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(written.replace(b'"label": 1', b'"label": 0')))
    assert draw(TOY, data).digest != before


def test_further_texts_are_in_no_pair_of_the_sample(data):
    sample = draw(TOY, data, unlabelled=5)
    known = {text for table in (sample.train, sample.validation, sample.test) for text in table.texts()}
    assert len(set(sample.unlabelled)) == 5
    assert not known & set(sample.unlabelled)
    assert all(text.startswith("train") for text in sample.unlabelled)


def test_no_text_of_validation_or_test_is_a_further_one_drawn_or_not(data):
    held = {f"{split} {i}" for split, count in (("validation", 10), ("test", 3)) for i in range(count)}
    rows = [{"text_a": text, "text_b": f"beside {text}", "label": i % 2} for i, text in enumerate(sorted(held))]
    with gzip.open(data / "toy" / "train.jsonl.gz", "at", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    further = draw(TOY, data, unlabelled=1000).unlabelled
    assert any(text.startswith("beside") for text in further)
    assert not held & set(further)


def test_of_more_further_texts_than_the_warm_up_reads_a_sample_is_drawn(data, monkeypatch):
    sample = draw(TOY, data, unlabelled=5)
    assert sample.further == sample.unlabelled
    monkeypatch.setattr("flipkd.experiments.sets.FURTHER", 2)
    assert len(sample.further) == 2
    assert sample.further == [text for text in sample.unlabelled if text in sample.further]


def test_a_missing_set_names_its_file_and_the_way_out(tmp_path):
    with pytest.raises(FlipkdError, match=r"toy/train\.jsonl\.gz.*--only"):
        draw(TOY, tmp_path)
