"""Packaged students are converted once, however many commands need one at the same time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError

from flipkd.student import loading


def test_of_two_commands_that_start_at_once_one_converts_and_both_read(tmp_path, monkeypatch):
    converting = Barrier(2)
    conversions = []

    def convert(alias: str, gguf: Path, folder: Path) -> None:
        with suppress(BrokenBarrierError):
            converting.wait(0.5)  # room for a second one to begin
        conversions.append(folder)
        partial = folder.with_name(f"{folder.name}.partial-{len(conversions)}")
        partial.mkdir()
        (partial / "config.json").write_text("{}")
        partial.replace(folder)

    gguf = tmp_path / "student.gguf"
    gguf.write_bytes(b"weights")
    monkeypatch.setattr(loading, "_gguf_file", lambda alias: gguf)
    monkeypatch.setattr(loading, "_convert", convert)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: loading.packaged_folder("smollm2-135m", tmp_path), range(2)))
    assert conversions == [found[0]] == [found[1]]
    assert (found[0] / "config.json").is_file()
