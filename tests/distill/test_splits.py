"""What a run reads, and by what it is known again."""

import pytest

from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits, read_splits
from flipkd.distill.workspace import Workspace
from flipkd.errors import FlipkdError
from tiny import pairs


def test_work_begun_with_other_further_texts_is_refused(tmp_path):
    """They are batched by their place in the list: a resumed warm-up would read others in their stead."""
    config = DistillConfig(train="pairs.csv", output=str(tmp_path / "run"))
    Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "two"]).digests).record("note", 1)
    Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "two"]).digests)
    with pytest.raises(FlipkdError, match="other settings or data"):
        Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "three"]).digests)


def test_without_further_texts_the_work_is_known_by_its_pairs_alone():
    assert list(Splits(pairs(8), pairs(4), None, []).digests) == ["train", "validation"]


def config(tmp_path, **rows):
    """Settings whose files hold these (a, b, label)."""
    for name, of in rows.items():
        lines = ["text_a,text_b,label", *(f"{a},{b},{label}" for a, b, label in of)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    return DistillConfig(output=str(tmp_path / "run"), **{name: str(tmp_path / f"{name}.csv") for name in rows})


TRAIN = [("one", "two", 1), ("three", "four", 0)]
VALIDATION = [("five", "six", 1), ("seven", "eight", 0)]


@pytest.mark.parametrize("other", [TRAIN, VALIDATION, VALIDATION[::-1]])
def test_a_test_file_that_is_another_split_is_refused(tmp_path, other):
    with pytest.raises(FlipkdError, match=r"pairs are the same \(.*csv and .*test.csv\)"):
        read_splits(config(tmp_path, train=TRAIN, validation=VALIDATION, test=other))


def test_pairs_that_share_a_text_but_for_case_and_space_are_warned_of(tmp_path, capsys):
    test = [("ONE", "nine", 1), ("ten", "S ix", 0), ("eleven", "twelve", 0)]
    read_splits(config(tmp_path, train=TRAIN, validation=VALIDATION, test=test))
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 test pairs share a text with the train pairs" in said
    assert "1 of 3 test pairs share a text with the validation pairs" in said


def test_splits_that_share_no_text_are_not_warned_of(tmp_path, capsys):
    read_splits(config(tmp_path, train=TRAIN, validation=VALIDATION, test=[("nine", "ten", 1), ("a", "b", 0)]))
    assert "share a text" not in capsys.readouterr().err


def test_unlabelled_texts_that_are_in_the_pairs_but_for_case_are_left_out(tmp_path):
    settings = config(tmp_path, train=TRAIN, validation=VALIDATION)
    (tmp_path / "texts.txt").write_text("ONE\nnew\n")
    settings.unlabelled = str(tmp_path / "texts.txt")
    assert read_splits(settings).unlabelled == ["new"]


def test_validation_is_split_off_by_the_share_and_training_pairs_are_limited(tmp_path):
    rows = [(f"a {i}", f"b {i}", i % 2) for i in range(40)]
    settings = config(tmp_path, train=rows)
    settings.validation_share = 0.4
    found = read_splits(settings)
    assert (len(found.train), len(found.validation)) == (24, 16)
    settings.limit = 10
    limited = read_splits(settings)
    assert (len(limited.train), len(limited.validation)) == (10, 16)
    assert set(limited.train.text_a) < set(found.train.text_a)


def test_rows_with_an_empty_text_are_dropped_where_asked(tmp_path):
    settings = config(tmp_path, train=[*TRAIN, ("", "nine", 1)], validation=VALIDATION)
    with pytest.raises(FlipkdError, match="empty"):
        read_splits(settings)
    settings.empty = "drop"
    assert len(read_splits(settings).train) == len(TRAIN)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": -5},
        {"baseline_epochs": 0.0},
        {"mcl_weight": -1.0},
        {"seed": -1},
        {"soft_weight": float("nan")},
        {"margin_positive": -0.1},
        {"threshold_precision": 90.0},
    ],
)
def test_settings_that_no_run_can_mean_are_refused(options):
    (name,) = options
    with pytest.raises(FlipkdError, match=name):
        DistillConfig(**options)
