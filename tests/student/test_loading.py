"""What is loaded as a student and what is refused, and that packaged ones are converted once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest
import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, SiglipVisionConfig

from flipkd.errors import FlipkdError
from flipkd.student import loading
from tiny import config, save_student, tokenizer


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "Unheard"}}'),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "llama", "hidden_size": 30, "num_attention_heads": 4}'),
    ],
)
def test_files_that_make_no_student_are_one_error(tmp_path, name, content):
    folder = save_student(tmp_path / "student")
    (Path(folder) / name).write_text(content)
    with pytest.raises(FlipkdError, match="Could not load the student"):
        loading.load_student(folder, device="cpu", cache_dir=tmp_path)


def test_a_student_that_reads_images_too_is_refused(tmp_path):
    words = tokenizer()
    vision = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
    )
    text = config("gemma3", len(words))
    both = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=5)
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(both).save_pretrained(tmp_path / "student")
    words.save_pretrained(tmp_path / "student")
    with pytest.raises(FlipkdError, match="reads more than text"):
        loading.load_student(str(tmp_path / "student"), device="cpu", cache_dir=tmp_path)


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
