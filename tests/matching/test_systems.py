"""What is compared: an artefact, its predictions, or the answers of another system."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flipkd import FlipkdError, Matcher
from flipkd.data.reader import read_pairs
from flipkd.matching.systems import read_system, spec_beside


def write(file, header, rows):
    with open(file, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return str(file)


@pytest.fixture(scope="module")
def pairs(files):
    return read_pairs(files["test"])


def answers(file, pairs, header, *columns):
    return write(file, ("text_a", "text_b", *header), zip(pairs.text_a, pairs.text_b, *columns, strict=True))


def test_an_artefact_and_its_predictions_say_the_same(artefact, pairs):
    now = read_system(str(artefact), pairs, device="cpu")
    before = read_system(str(artefact / "evaluation" / "predictions.parquet"), pairs)
    threshold = Matcher.from_pretrained(artefact, device="cpu").answer.threshold
    np.testing.assert_array_equal(now.match, now.value >= threshold)
    np.testing.assert_allclose(before.value, now.value, atol=1e-5)
    np.testing.assert_array_equal(before.match, now.match)
    assert now.warnings == before.warnings == ()


@pytest.mark.parametrize(("split", "words"), [("train", "trained on these very"), ("validation", "thresholds")])
def test_pairs_that_a_run_has_seen_are_known_by_their_digest(artefact, files, split, words):
    (warning,) = read_system(str(artefact), read_pairs(files[split]), device="cpu").warnings
    assert words in warning


def test_a_file_of_decisions_and_probabilities(tmp_path, pairs):
    probability = np.linspace(0, 1, len(pairs))
    match = np.where(probability > 0.7, "yes", "no")
    given = answers(tmp_path / "b.csv", pairs, ("probability", "match"), probability, match)
    found = read_system(given, pairs)
    np.testing.assert_array_equal(found.match, probability > 0.7)
    np.testing.assert_array_equal(found.value, probability)


def test_decisions_alone_are_enough_and_values_with_a_threshold_are(tmp_path, pairs):
    value = np.linspace(-3, 3, len(pairs))
    alone = answers(tmp_path / "a.csv", pairs, ("match",), (value > 1).astype(int))
    assert read_system(alone, pairs).value is None
    valued = answers(tmp_path / "b.csv", pairs, ("margin",), value)
    found = read_system(valued, pairs, value="margin", threshold=1.0)
    np.testing.assert_array_equal(found.match, value >= 1)
    with pytest.raises(FlipkdError, match="--threshold-a"):
        read_system(valued, pairs, value="margin")


def test_a_value_that_is_no_number_is_named_with_its_line(tmp_path, pairs):
    cells = ["0.5"] * len(pairs)
    cells[2] = "high"
    given = answers(tmp_path / "b.csv", pairs, ("probability", "match"), cells, [1] * len(cells))
    with pytest.raises(FlipkdError, match=r"b\.csv, line 4: column 'probability' holds 'high'"):
        read_system(given, pairs)


def test_the_first_row_that_differs_is_named(tmp_path, pairs):
    rows = [[a, b, 1] for a, b in zip(pairs.text_a, pairs.text_b, strict=True)]
    given = write(tmp_path / "short.csv", ("text_a", "text_b", "match"), rows[:4])
    with pytest.raises(FlipkdError, match="holds 4 pairs"):
        read_system(given, pairs)
    rows[4], rows[7] = rows[7], rows[4]
    given = write(tmp_path / "b.csv", ("text_a", "text_b", "match"), rows)
    with pytest.raises(FlipkdError, match=r"b\.csv, line 6, is not the pair of .*test\.csv, line 6"):
        read_system(given, pairs)


def test_what_is_no_system_is_refused(artefact, tmp_path, pairs):
    with pytest.raises(FlipkdError, match="neither the folder of an artefact nor a file"):
        read_system(str(tmp_path / "none"), pairs)
    with pytest.raises(FlipkdError, match="its threshold is its own"):
        read_system(str(artefact), pairs, threshold=0.5)


def test_answers_at_the_root_of_the_disk_lie_in_no_artefact():
    assert spec_beside(Path("/answers.csv")) is None


def test_predictions_outside_of_an_artefact_need_their_column_named(artefact, tmp_path, pairs):
    moved = tmp_path / "evaluation" / "predictions.parquet"
    moved.parent.mkdir()
    shutil.copy(artefact / "evaluation" / "predictions.parquet", moved)
    assert read_system(str(moved), pairs).value is None
    named = read_system(str(moved), pairs, value="flipped_answer_probability")
    sources = json.loads((artefact / "flipkd.json").read_text())["answer"]["sources"]
    assert "teacher" not in sources
    own = read_system(str(artefact / "evaluation" / "predictions.parquet"), pairs)
    np.testing.assert_array_equal(named.value, own.value)


def test_another_column_than_the_answers_needs_its_own_threshold(artefact, pairs):
    """The decisions would be the artefact's, and the ranking the teacher's: no system that there is."""
    file = str(artefact / "evaluation" / "predictions.parquet")
    with pytest.raises(FlipkdError, match=r"match is of 'flipped_answer_probability', not of 'teacher'.*--threshold-a"):
        read_system(file, pairs, value="teacher")
    found = read_system(file, pairs, value="teacher", threshold=0.5)
    np.testing.assert_array_equal(found.match, found.value >= 0.5)
    assert read_system(file, pairs, value="flipped_answer_probability").value is not None
