"""Files made to do harm: nothing of them runs, nothing is written, and what is refused is named.

Each would create the file `MARK` if it ran.
"""

import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from flipkd import Matcher, read_pairs
from flipkd.cli.main import main
from flipkd.errors import FlipkdError
from flipkd.student.loading import load_student
from flipkd.teacher.teacher import Teacher
from tiny import pairs, write_csv


class Bomb:
    """A pickle of it writes the mark when it is read."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.fixture
def mark(tmp_path):
    """The file that must not appear."""
    yield tmp_path / "MARK"
    assert not (tmp_path / "MARK").exists()


@pytest.fixture
def folder(artefact, models, tmp_path):
    """A copy of the artefact, of its base and of a teacher."""
    shutil.copytree(artefact, tmp_path / "run")
    shutil.copytree(models["student"], tmp_path / "base")
    shutil.copytree(models["teacher"], tmp_path / "teacher")
    change(tmp_path / "run" / "flipkd.json", base_model=str(tmp_path / "base"))
    return tmp_path


def change(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def load(folder):
    return Matcher.from_pretrained(folder / "run", device="cpu")


def test_a_bomb_goes_off_where_it_is_read(tmp_path):
    """The other tests prove something only if this one holds."""
    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb(tmp_path / "found")))
    pickle.loads((tmp_path / "bomb").read_bytes())
    assert (tmp_path / "found").exists()


def code(mark):
    """A module that leaves the mark when it is imported, with whatever class is asked of it."""
    return f"""
open({str(mark)!r}, "w").close()
from transformers import LlamaConfig as Config, LlamaForCausalLM as Model, PreTrainedTokenizerFast as Words
class Part:
    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
"""


@pytest.mark.parametrize("kind", ["llama", "unheard_of"])
def test_a_base_that_brings_code_does_not_run_it(folder, mark, kind):
    (folder / "base" / "evil.py").write_text(code(mark))
    change(
        folder / "base" / "config.json",
        model_type=kind,
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": "evil.Words"},
    )
    change(folder / "base" / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Words"]})
    if kind == "llama":
        assert np.isfinite(load(folder).match("open account", "close account").probability)
    else:
        with pytest.raises(FlipkdError, match="Could not load the student"):
            load(folder)


def test_a_base_of_pickles_is_not_read(folder, mark):
    (folder / "base" / "model.safetensors").unlink()
    torch.save({"x": Bomb(mark)}, folder / "base" / "pytorch_model.bin")
    with pytest.raises(FlipkdError, match="Could not load the student"):
        load_student(str(folder / "base"), device="cpu", cache_dir=folder)


def test_an_adapter_of_pickles_is_not_read(folder, mark):
    (folder / "run" / "adapter_model.safetensors").unlink()
    torch.save({"x": Bomb(mark)}, folder / "run" / "adapter_model.bin")
    with pytest.raises(FlipkdError, match=r"has no adapter_model\.safetensors"):
        load(folder)


def test_an_adapter_configuration_leads_nowhere(folder, mark):
    """Of `adapter_config.json` only LoRA's own numbers count: not its kind, other models, or classes to import."""
    (folder / "run" / "evil.py").write_text(code(mark))
    (folder / "elsewhere").mkdir()
    expected = load(folder).match("open account", "close account").probability
    change(
        folder / "run" / "adapter_config.json",
        peft_type="XLORA",
        adapters={"x": str(folder / "elsewhere")},
        auto_mapping={"base_model_class": "Model", "parent_library": "evil"},
        base_model_name_or_path=str(folder / "elsewhere"),
        init_lora_weights="corda",
    )
    assert load(folder).match("open account", "close account").probability == expected


@pytest.mark.parametrize("base", ["../../../nowhere", "/nowhere", "file:///nowhere", "a/../b", ""])
def test_a_base_that_is_no_model_is_an_error(folder, mark, base):
    change(folder / "run" / "flipkd.json", base_model=base)
    with pytest.raises(FlipkdError, match="Could not load the student"):
        load(folder)


@pytest.fixture
def keeps_teacher(folder):
    """The artefact with a teacher in it."""
    shutil.copytree(folder / "teacher", folder / "run" / "teacher")
    revision = Teacher.load(str(folder / "teacher"), device="cpu", cache=False).revision
    change(folder / "run" / "flipkd.json", teacher={"name": "x", "revision": revision, "kept": True})
    return folder


def test_a_teacher_that_is_a_link_out_of_the_artefact_is_refused(keeps_teacher):
    assert load(keeps_teacher).teacher is not None
    shutil.rmtree(keeps_teacher / "run" / "teacher")
    (keeps_teacher / "run" / "teacher").symlink_to(keeps_teacher / "teacher")
    with pytest.raises(FlipkdError, match="leads out of the artefact"):
        load(keeps_teacher)


def test_another_teacher_in_the_artefact_is_refused(keeps_teacher):
    change(keeps_teacher / "run" / "teacher" / "config_sentence_transformers.json", prompts={"query": "say : "})
    with pytest.raises(FlipkdError, match="holds another teacher"):
        load(keeps_teacher)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "evil.Part"}, "Could not load the teacher"),
        ({"type": "os.system"}, "Could not load the teacher"),
        ({"type": "sentence_transformers.util.import_from_string"}, "Could not load the teacher"),
        ({"path": "../elsewhere"}, "outside of its folder"),
        ({"path": "/etc"}, "outside of its folder"),
    ],
)
def test_a_teacher_names_no_foreign_class_and_no_place_outside(folder, mark, part, expected, monkeypatch):
    (folder / "teacher" / "evil.py").write_text(code(mark))
    monkeypatch.chdir(folder / "teacher")
    monkeypatch.syspath_prepend(folder / "teacher")
    file = folder / "teacher" / "modules.json"
    parts = json.loads(file.read_text())
    parts[1] |= part
    file.write_text(json.dumps(parts))
    with pytest.raises(FlipkdError, match=expected):
        Teacher.load(str(folder / "teacher"), device="cpu")


def test_a_teacher_of_pickles_is_refused(folder, mark):
    (folder / "teacher" / "model.safetensors").unlink()
    torch.save({"x": Bomb(mark)}, folder / "teacher" / "pytorch_model.bin")
    with pytest.raises(FlipkdError, match="is a pickle"):
        Teacher.load(str(folder / "teacher"), device="cpu")


def test_parquet_metadata_is_not_unpickled(tmp_path, mark):
    """Neither pandas' metadata nor an extension type of pickled Python is more than a column's own values."""
    bomb = pickle.dumps(Bomb(mark))
    column = pa.field("text_a", pa.string(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": bomb,
    })  # fmt: skip
    schema = pa.schema([column, pa.field("text_b", pa.string()), pa.field("label", pa.int64())])
    schema = schema.with_metadata({b"pandas": bomb})
    table = pa.table([["reset my pin"], ["open account"], [1]], schema=schema)
    pq.write_table(table, tmp_path / "pairs.parquet")
    assert list(read_pairs(str(tmp_path / "pairs.parquet")).text_a) == ["reset my pin"]


def test_unfinished_work_of_pickles_is_refused(settings, tmp_path, mark):
    """An array file of the work folder that holds Python objects is not read."""
    from flipkd.distill.workspace import Workspace

    work = Workspace(settings(tmp_path / "run"), {})
    np.savez(work.folder / "read.npz", x=np.array([Bomb(mark)], dtype=object))
    mark.unlink(missing_ok=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        work.once("read", dict)


def test_an_output_of_match_is_written_where_it_was_asked_for_alone(folder, mark):
    """Texts that look like paths or formulas stay texts."""
    table = pairs(3)
    table.text_a[0], table.text_b[1] = "../../MARK", f"$(touch {mark})"
    file = write_csv(table, folder / "pairs.csv")
    before = {*folder.rglob("*")}
    words = ["--model", str(folder / "run"), "--pairs", file, "--output", str(folder / "out.csv"), "--device", "cpu"]
    assert main(["match", *words]) == 0
    assert {*folder.rglob("*")} - before == {folder / "out.csv"}
