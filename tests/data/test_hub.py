import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets.exceptions import DatasetNotFoundError

from flipkd.data.reader import read_pairs
from flipkd.errors import FlipkdError


def made(names, labels):
    features = Features({"label": ClassLabel(names=names), "sentence1": Value("string"), "sentence2": Value("string")})
    rows = len(labels)
    columns = {"label": labels, "sentence1": ["NA"] * rows, "sentence2": [f"b{n}" for n in range(rows)]}
    return Dataset.from_dict(columns, features)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that holds what a test puts in, and notes what is asked of it."""
    held, asked = {}, []

    def load(name, configuration, split):
        asked.append((name, configuration, split))
        if (name, configuration) not in held:
            raise DatasetNotFoundError(f"no {name}\nsecond line")
        return held[name, configuration]

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    return held, asked


@pytest.mark.parametrize(
    ("wanted", "name", "configuration", "split"),
    [
        ("pairs", "pairs", None, "train"),
        ("owner/pairs:test", "owner/pairs", None, "test"),
        ("glue/mrpc:validation", "glue", "mrpc", "validation"),
        ("owner/glue/mrpc", "owner/glue", "mrpc", "train"),
    ],
)
def test_ids(hub, wanted, name, configuration, split):
    held, asked = hub
    held[name, configuration] = made(["0", "1"], [1, 0])
    table = read_pairs(wanted)
    assert asked[-1] == (name, configuration, split)
    assert (table.text_a, table.text_b, table.line, table.source) == (["NA", "NA"], ["b0", "b1"], [1, 2], wanted)
    assert table.label.tolist() == [1, 0]


def test_classes_are_read_by_their_names(hub):
    hub[0]["rte", None] = made(["entailment", "not_entailment"], [0, 1])
    assert read_pairs("rte").label.tolist() == [1, 0]


def test_class_names_that_are_no_words_are_said(hub, capsys):
    hub[0]["pairs", None] = made(["cold", "hot"], [0, 1])
    assert read_pairs("pairs").label.tolist() == [0, 1]
    assert "0 = cold, 1 = hot" in " ".join(capsys.readouterr().err.split())


def test_rows_without_a_class_are_no_labels(hub):
    hub[0]["pairs", None] = made(["no", "yes"], [0, -1])
    with pytest.raises(FlipkdError, match="row 2: None"):
        read_pairs("pairs")


def test_a_failure_gives_the_reason(hub):
    with pytest.raises(FlipkdError, match=r"'gone/pairs' is neither a file nor a data set.*no gone/pairs; .*no gone\)"):
        read_pairs("gone/pairs")
    assert len(hub[1]) == 2


def test_a_folder_is_not_loaded_as_a_data_set(hub, tmp_path):
    (tmp_path / "pairs").mkdir()
    with pytest.raises(FlipkdError, match="pairs is a folder"):
        read_pairs("pairs:train")
    assert hub[1] == []
