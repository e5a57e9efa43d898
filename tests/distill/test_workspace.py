import numpy as np
import pytest
from filelock import FileLock, Timeout

from flipkd.distill.config import DistillConfig
from flipkd.distill.workspace import Workspace
from flipkd.errors import FlipkdError


def config(tmp_path, **options):
    return DistillConfig(train="pairs.csv", output=str(tmp_path / "run"), **options)


def test_work_is_done_once_and_read_back(tmp_path):
    calls = []

    def work():
        calls.append(1)
        return {"x": np.arange(3)}

    Workspace(config(tmp_path), {}).once("piece", work)
    found = Workspace(config(tmp_path), {}).once("piece", work)
    np.testing.assert_array_equal(found["x"], np.arange(3))
    assert len(calls) == 1


def test_failed_work_leaves_nothing(tmp_path):
    def fail():
        raise ValueError("broken")

    workspace = Workspace(config(tmp_path), {})
    with pytest.raises(ValueError, match="broken"):
        workspace.once("piece", fail)
    assert not list(workspace.folder.glob("piece*"))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed is 0 there and 1 now"), ({"lora_rank": 8}, "lora_rank is 32 there and 8 now")],
)
def test_unfinished_work_of_other_settings_is_refused_and_they_are_named(tmp_path, change, named):
    Workspace(config(tmp_path), {}).record("note", 1)
    with pytest.raises(FlipkdError, match=rf"unfinished work of other settings or data \({named}\)"):
        Workspace(config(tmp_path, **change), {})


def test_unfinished_work_of_edited_data_is_refused_and_they_are_named(tmp_path):
    Workspace(config(tmp_path), {"train": "a", "test": "c"}).record("note", 1)
    with pytest.raises(FlipkdError, match=r"other settings or data \(other train pairs\)"):
        Workspace(config(tmp_path), {"train": "b", "test": "c"})


def test_overwrite_starts_anew_and_says_what_it_drops(tmp_path, capsys):
    Workspace(config(tmp_path), {}).record("note", 1)
    anew = Workspace(config(tmp_path, seed=1, overwrite=True), {})
    assert anew.recorded("note") is None
    assert "dropped" in capsys.readouterr().err


def test_a_start_that_finished_nothing_refuses_no_other_settings(tmp_path):
    """A mistyped device or student must not cost the corrected command an --overwrite."""
    begun = Workspace(config(tmp_path), {})
    begun.require_same("student", "one")
    corrected = Workspace(config(tmp_path, device="cpu"), {})
    corrected.require_same("student", "another")
    corrected.record("note", 1)
    assert Workspace(config(tmp_path, device="cpu"), {}).recorded("note") == 1


@pytest.mark.parametrize("change", [{"train": "moved/pairs.csv"}, {"validation": "renamed.csv"}])
def test_files_that_moved_and_a_path_spelled_otherwise_still_resume(tmp_path, change):
    data = {"train": "a", "validation": "b"}
    Workspace(config(tmp_path), data).record("note", 1)
    options = {"train": "pairs.csv", **change, "output": f"{tmp_path}/other/../run/"}
    assert Workspace(DistillConfig(**options), data).recorded("note") == 1


def test_work_of_a_version_that_noted_the_output_and_the_files_resumes(tmp_path):
    work = Workspace(config(tmp_path), {})
    work.record("note", 1)
    key = work.recorded("run")
    work.record("run", {**key, "settings": {**key["settings"], "output": "runs/x", "train": "pairs.csv"}})
    assert Workspace(config(tmp_path), {}).recorded("note") == 1


def test_an_empty_folder_may_be_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    Workspace(config(tmp_path, overwrite=True), {}).publish(lambda folder: (folder / "new").write_text("x"))
    assert [entry.name for entry in tmp_path.rglob("*")] == ["run", "new"]


def test_a_folder_of_something_else_is_not_taken_for_work(tmp_path):
    (tmp_path / "run.work").mkdir()
    (tmp_path / "run.work" / "thesis.txt").write_text("x")
    with pytest.raises(FlipkdError, match="holds something else"):
        Workspace(config(tmp_path, overwrite=True), {})
    assert (tmp_path / "run.work" / "thesis.txt").read_text() == "x"


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_an_output_without_a_name_of_its_own_is_refused(output):
    with pytest.raises(FlipkdError, match="names no folder of its own"):
        Workspace(DistillConfig(train="pairs.csv", output=output), {})


def test_one_process_at_a_time_works_in_the_folder(tmp_path):
    folder = Workspace(config(tmp_path), {}).folder
    with pytest.raises(Timeout):
        FileLock(folder / ".lock").acquire(timeout=0)


@pytest.mark.parametrize("options", [{}, {"seed": 1, "overwrite": True}])
def test_work_that_another_process_is_at_is_not_touched(tmp_path, options):
    folder = tmp_path / "run.work"
    folder.mkdir()
    (folder / "note.json").write_text("1")
    with FileLock(folder / ".lock"), pytest.raises(FlipkdError, match="Another process"):
        Workspace(config(tmp_path, **options), {})
    assert (folder / "note.json").exists()


def test_logging_more_often_still_resumes(tmp_path):
    Workspace(config(tmp_path), {}).record("note", 1)
    assert Workspace(config(tmp_path, logging_steps=1), {}).recorded("note") == 1


def test_an_existing_output_is_not_touched(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FlipkdError, match="already there"):
        Workspace(config(tmp_path), {})


@pytest.mark.parametrize("name", ["run/pairs.csv", "run"])
def test_what_is_no_artefact_is_never_overwritten(tmp_path, name):
    """Such as a folder of many runs whose last part was forgotten."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    with pytest.raises(FlipkdError, match="is no artefact"):
        Workspace(config(tmp_path, overwrite=True), {})
    assert (tmp_path / name).read_text() == "x"


def test_a_failed_write_publishes_nothing_and_keeps_the_work(tmp_path):
    workspace = Workspace(config(tmp_path), {})

    def write(folder):
        (folder / "half").write_text("x")
        raise FlipkdError("no")

    with pytest.raises(FlipkdError):
        workspace.publish(write)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.work"]


def test_publishing_replaces_the_old_output_and_removes_the_work(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flipkd.json").write_text("old")
    workspace = Workspace(config(tmp_path, overwrite=True), {})
    workspace.publish(lambda folder: (folder / "new").write_text("x"))
    assert [entry.name for entry in tmp_path.rglob("*")] == ["run", "new"]


def test_time_adds_up_over_interruptions(tmp_path):
    workspace = Workspace(config(tmp_path), {})
    with workspace.timing("stage"):
        pass
    first = workspace.seconds()["stage"]
    with pytest.raises(KeyboardInterrupt), workspace.timing("stage"):
        raise KeyboardInterrupt
    assert workspace.seconds()["stage"] > first


def test_time_is_read_from_the_clock_it_is_given(tmp_path):
    ticks = iter((10.0, 13.5))
    workspace = Workspace(config(tmp_path), {}, clock=lambda: next(ticks))
    with workspace.timing("piece"):
        pass
    assert workspace.seconds() == {"piece": 3.5}


def test_a_stop_between_moving_the_old_output_away_and_the_new_one_in_gives_the_old_one_back(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flipkd.json").write_text("old")
    options = config(tmp_path, overwrite=True)
    workspace = Workspace(options, {})
    (tmp_path / "run").rename(workspace.folder / "replaced")
    again = Workspace(options, {})
    assert (tmp_path / "run" / "flipkd.json").read_text() == "old"
    again.publish(lambda folder: (folder / "new").write_text("x"))
    assert [entry.name for entry in tmp_path.rglob("*")] == ["run", "new"]


def test_removing_the_work_leaves_nothing_of_it_under_its_name(tmp_path):
    """A stop while files are removed one by one must not leave a record of work without its files."""
    workspace = Workspace(config(tmp_path), {})
    workspace.record("note", 1)

    def stop(folder, **_):
        if folder.exists():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flipkd.files.shutil.rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            Workspace(config(tmp_path, seed=1, overwrite=True), {})
    assert Workspace(config(tmp_path, seed=1), {}).recorded("note") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.work"]
