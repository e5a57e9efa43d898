"""The teacher's part of a run."""

from types import SimpleNamespace

import numpy as np
import pytest

from flipkd.data.table import PairTable
from flipkd.distill.splits import Splits
from flipkd.distill.teach import dual_thresholds, require_kind, teach
from flipkd.distill.workspace import Workspace
from flipkd.errors import FlipkdError
from flipkd.teacher.training import TeacherConfig, fit_teacher
from tiny import pairs

PAIRS = pairs(48)
OTHER = pairs(40, seed=1)


@pytest.fixture(scope="module")
def fitted(models, tmp_path_factory):
    """A teacher of all of PAIRS."""
    folder = tmp_path_factory.mktemp("fitted") / "teacher"
    fit_teacher(
        models["teacher"], PAIRS, folder, TeacherConfig(epochs=1), seed=0, device="cpu", cache_dir=folder.parent
    )
    return str(folder)


@pytest.fixture
def taught(fitted, settings, tmp_path):
    def run(train, validation, test=None):
        config = settings(tmp_path / "run", teacher=fitted)
        splits = Splits(train, validation, test, [])
        return teach(config, splits, Workspace(config, splits.digests), "cpu", tmp_path / "cache")

    return run


def swapped_in_case(table):
    a, b = ([text.upper() for text in side] for side in (table.text_b, table.text_a))
    return PairTable(a, b, table.label, "other.csv", table.line, {})


@pytest.mark.parametrize("change", [lambda table: table, swapped_in_case], ids=["as they are", "swapped, other case"])
def test_another_share_of_validation_than_the_teachers_is_refused(taught, change):
    """Its AUC is high on both sides alike: a gap could not tell."""
    train, validation = PAIRS.select(np.arange(30)), PAIRS.select(np.arange(30, 48))
    with pytest.raises(FlipkdError, match=r"trained on 18 of the 18 validation pairs .*--validation-share"):
        taught(train, change(validation))


def test_test_pairs_that_the_teacher_was_trained_on_are_refused(taught):
    with pytest.raises(FlipkdError, match="trained on 8 of the 8 test pairs"):
        taught(PAIRS.select(np.arange(40)), OTHER, PAIRS.select(np.arange(40, 48)))


def test_pairs_that_the_teacher_did_not_see_are_taken(taught):
    teacher, signal = taught(PAIRS, OTHER)
    assert len(signal.pair_similarity) == len(PAIRS)
    assert teacher.revision


@pytest.mark.parametrize("part", ["all", "fold-0"])
def test_a_part_of_a_fitted_folder_is_refused_since_nobody_would_know_its_pairs(
    fitted, settings, tmp_path, part, monkeypatch
):
    with pytest.raises(FlipkdError, match=rf"{part} is one of the teachers in {fitted}.*Give {fitted}\."):
        require_kind(settings(tmp_path / "run", teacher=f"{fitted}/{part}"))
    require_kind(settings(tmp_path / "run", teacher=fitted))
    monkeypatch.chdir(fitted)
    require_kind(settings(tmp_path / "run", teacher="."))


def test_dual_thresholds_are_the_users_or_those_of_the_precision_asked_for(settings, tmp_path):
    label = OTHER.require_labels()
    said = np.random.default_rng(0).normal(label * 0.2, 0.2).clip(-1, 1).astype(np.float32)
    teacher, splits = SimpleNamespace(similarity=lambda *_: said), Splits(PAIRS, OTHER, None, [])

    def fitted(**options):
        return dual_thresholds(settings(tmp_path / "run", **options), teacher, splits)[0]

    low, high = fitted(threshold_precision=0.6), fitted(threshold_precision=0.9)
    assert low.tau_p < high.tau_p
    assert low.tau_n > high.tau_n
    given = fitted(tau_p=0.7, tau_n=0.1)
    assert (given.tau_p, given.tau_n, given.reason) == (0.7, 0.1, "set by the user")


def test_a_cross_encoder_for_the_matrix_is_refused_before_anything_is_trained(models, settings, tmp_path):
    folder = tmp_path / "cross"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    with pytest.raises(FlipkdError, match=r"--sets matrix needs a teacher of texts.*Use --sets labels"):
        require_kind(settings(tmp_path / "run", teacher=str(folder), sets="matrix"))
    require_kind(settings(tmp_path / "run", teacher=str(folder), sets="labels"))
    require_kind(settings(tmp_path / "run", teacher=models["teacher"], sets="matrix"))
