import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock, Timeout

from flipkd.errors import FlipkdError
from flipkd.files import hold, partial_of, remove, require_no_folder, write_whole, written_whole


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


def test_what_is_held_below_a_removed_folder_is_free_again(tmp_path):
    folder = tmp_path / "work" / "trunk"
    folder.mkdir(parents=True)
    hold(folder)
    remove(folder.parent)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock", timeout=0):
        pass


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    """Else a superuser's --output /dev/null would make it a file for all."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    write_whole(pipe, "all of it")
    assert reader.communicate(timeout=10)[0] == b"all of it"
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_of_a_link_the_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "latest.json"
    link.symlink_to(tmp_path / "there" / "one.json")
    for text in ("first", "second"):  # it need not be there yet
        write_whole(link, text)
        assert (tmp_path / "there" / "one.json").read_text() == text
        assert link.is_symlink()


@pytest.mark.parametrize("folder", [".", "there"])
def test_a_folder_is_no_file_to_write(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for write in (lambda: write_whole(tmp_path.__class__(folder), "x"), lambda: require_no_folder(None, folder)):
        with pytest.raises(FlipkdError, match=f"{folder} is a folder: name a file"):
            write()


def test_another_process_with_the_same_output_leaves_a_written_part_alone(tmp_path):
    file = tmp_path / "answers.csv"
    other = "import sys, flipkd.files, pathlib; flipkd.files.write_whole(pathlib.Path(sys.argv[1]), 'short')"
    with written_whole(file) as partial:
        partial.write_text("half of it, ")
        assert partial == partial_of(file)
        subprocess.run([sys.executable, "-c", other, str(file)], check=True)
        assert file.read_text() == "short"
        partial.write_text(partial.read_text() + "and the rest")
    assert file.read_text() == "half of it, and the rest"
    assert [entry.name for entry in tmp_path.iterdir()] == ["answers.csv"]


def test_standard_output_that_the_shell_sends_to_a_file_keeps_going_there(tmp_path):
    """The file itself would be another one than the shell has open."""
    (tmp_path / "write.py").write_text(
        "from pathlib import Path\nfrom flipkd.files import write_whole\nwrite_whole(Path('/dev/stdout'), 'x')\n"
    )
    subprocess.run(f"({sys.executable} write.py; echo behind) >> all.txt", shell=True, check=True, cwd=tmp_path)
    assert "behind" in (tmp_path / "all.txt").read_text()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["all.txt", "write.py"]


def test_a_file_in_shared_memory_is_replaced_whole_as_any_other():
    with TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder) / "answers.csv"
        file.write_text("old")
        with written_whole(file) as partial:
            partial.write_text("new")
            assert file.read_text() == "old"
        assert file.read_text() == "new"
