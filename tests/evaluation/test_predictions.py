import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flipkd.data.table import PairTable
from flipkd.evaluation.predictions import write_predictions


def table(label):
    labels = None if label is None else np.array(label)
    return PairTable(["a", "NA", "a", "你好"], ["b", "007", "b", ""], labels, "x.csv", [2, 3, 4, 5], {})


def test_rows_keep_their_order_duplicates_and_texts(tmp_path):
    write_predictions(tmp_path / "p.parquet", table([1, 0, 1, 0]), {"probability": np.array([0.9, 0.8, 0.1, 0.2])})
    read = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert list(read) == ["text_a", "text_b", "label", "probability"]
    assert read["text_a"] == ["a", "NA", "a", "你好"]
    assert read["text_b"] == ["b", "007", "b", ""]
    assert read["label"] == [1, 0, 1, 0]
    assert read["probability"] == [0.9, 0.8, 0.1, 0.2]


def test_each_kind_of_error_is_named(tmp_path):
    match = np.array([True, True, False, False])
    write_predictions(tmp_path / "p.parquet", table([1, 0, 1, 0]), {}, match)
    read = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert read["match"] == match.tolist()
    assert read["kind"] == ["tp", "fp", "fn", "tn"]


def test_without_labels_there_is_no_kind_and_the_label_is_null(tmp_path):
    write_predictions(tmp_path / "p.parquet", table(None), {}, np.ones(4, dtype=bool))
    read = pq.read_table(tmp_path / "p.parquet")
    assert read["label"].null_count == 4
    assert read.schema.field("label").type == pa.int64()
    assert "kind" not in read.column_names


def test_a_column_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="length"):
        write_predictions(tmp_path / "p.parquet", table(None), {"probability": np.zeros(3)})
