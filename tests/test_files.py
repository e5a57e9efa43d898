import shutil

import pytest
from filelock import FileLock, Timeout

from flipkd.errors import FlipkdError
from flipkd.files import hold, remove


def test_a_folder_that_another_process_holds_is_refused(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(FlipkdError, match=f"at work in {tmp_path}"):
        hold(tmp_path)


def test_a_held_folder_is_kept_from_others_and_may_be_held_again(tmp_path):
    hold(tmp_path)
    hold(tmp_path)
    with pytest.raises(Timeout):
        FileLock(tmp_path / ".lock").acquire(timeout=0)


def test_a_folder_that_was_deleted_by_hand_is_held_anew(tmp_path):
    folder = tmp_path / "work"
    for _ in range(2):
        folder.mkdir()
        hold(folder)
        with pytest.raises(Timeout):
            FileLock(folder / ".lock").acquire(timeout=0)
        shutil.rmtree(folder)


def test_a_removed_folder_is_free_again(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    hold(folder)
    remove(folder)
    folder.mkdir()
    with FileLock(folder / ".lock", timeout=0):
        assert [entry.name for entry in tmp_path.iterdir()] == ["work"]
