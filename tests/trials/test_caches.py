"""docs/trials.md, row 47: what is kept is used again for the same content, and for nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from flipkd import FlipkdError
from flipkd.distill.run import distill
from flipkd.distill.student import StudentRun
from flipkd.teacher.teacher import Teacher
from tiny import texts
from trials.runs import edit_json, said

TEXTS = texts(6)


@pytest.fixture
def read(tmp_path, capsys):
    """What becomes of the teacher's vectors: `read` or `computed`."""

    def run(folder, asked=TEXTS):
        capsys.readouterr()
        Teacher.load(str(folder), device="cpu", cache_dir=tmp_path / "cache").vectors(asked)
        return said(capsys).split("teacher vectors: ")[1].split()[0]

    return run


def test_teacher_vectors_are_kept_by_content(read, models, tmp_path):
    here = Path(shutil.copytree(models["teacher"], tmp_path / "here"))
    assert read(here) == "computed"
    assert read(here) == "read"
    os.utime(here / "model.safetensors", (1, 1))
    assert read(here) == "read"
    assert read(shutil.copytree(here, tmp_path / "elsewhere")) == "read"
    assert read(here, TEXTS[::-1]) == "read"
    assert read(here, [*TEXTS[:-1], "another row"]) == "computed"


def test_another_teacher_or_length_is_another_entry(read, models, tmp_path):
    here = Path(shutil.copytree(models["teacher"], tmp_path / "here"))
    assert read(here) == "computed"
    edit_json(next(here.rglob("sentence_bert_config.json")), max_seq_length=8)
    assert read(here) == "computed"


@pytest.mark.parametrize("part", ["student", "teacher"])
def test_unfinished_work_of_another_model_in_the_same_folder_is_refused(part, settings, models, tmp_path):
    """The settings name the same folder, whose content was exchanged meanwhile."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    def stop(*_, **__):
        raise KeyboardInterrupt

    folder = Path(shutil.copytree(models[part], tmp_path / part))
    made = settings(tmp_path / "run", **{part: str(folder)}, baseline=False, fine_tune_teacher=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudentRun, "flip", stop)
        with pytest.raises(KeyboardInterrupt):
            distill(made)
    kind = AutoModelForCausalLM if part == "student" else AutoModel
    other = kind.from_pretrained(folder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.01)
    other.save_pretrained(folder)
    with pytest.raises(FlipkdError, match=f"The {part} is another one than when the work"):
        distill(made)
    assert not (tmp_path / "run").exists()
