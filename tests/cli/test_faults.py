"""An artefact, base model or machine that is not what it should be: one clear error, and no output."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import AutoTokenizer

from flipkd import Matcher
from flipkd.cli.main import main
from tiny import base_model, pairs, write_csv


@pytest.fixture
def copy(artefact, models, tmp_path):
    """A copy of the artefact whose base model is a copy, too: `run` and `base` in the test's folder."""
    shutil.copytree(artefact, tmp_path / "run")
    shutil.copytree(models["student"], tmp_path / "base")
    edit(tmp_path, base_model=str(tmp_path / "base"))
    write_csv(pairs(5), tmp_path / "pairs.csv")
    return tmp_path


def edit(folder, **fields):
    file = folder / "run" / "flipkd.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def refusal(folder, capfd, *words, output="out.csv"):
    """The one error of `flipkd match`."""
    capfd.readouterr()
    given = ["match", "--model", str(folder / "run"), "--pairs", str(folder / "pairs.csv")]
    assert main([*given, "--output", str(folder / output), *words]) == 1
    said = capfd.readouterr().err
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert not list(folder.glob("*out.csv*"))
    return " ".join(said[said.index("error: ") :].split())


def test_the_copy_itself_answers(copy):
    words = ["match", "--model", str(copy / "run"), "--pairs", str(copy / "pairs.csv")]
    assert main([*words, "--output", str(copy / "out.csv"), "--device", "cpu"]) == 0


def test_another_base_of_the_same_shape(copy, capfd):
    base_model(seed=1)[0].save_pretrained(copy / "base")
    assert "is not the base model" in refusal(copy, capfd)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rms_norm_eps": 1e-3}, "rms_norm_eps in its config.json was 1e-06 and is 0.001"),
        ({"hidden_act": "gelu"}, 'hidden_act in its config.json was "silu" and is "gelu"'),
        (
            {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}},
            "rope_parameters.rope_theta in its config.json was 10000.0 and is 500.0",
        ),
    ],
)
def test_a_base_whose_configuration_was_edited(copy, capfd, fields, expected):
    file = copy / "base" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    assert expected in refusal(copy, capfd)


def test_a_base_whose_configuration_says_nothing_else_of_its_computing(copy):
    file = copy / "base" / "config.json"
    other = {"use_cache": False, "attention_dropout": 0.5, "transformers_version": "4.0.0", "eos_token_id": 3}
    file.write_text(json.dumps(json.loads(file.read_text()) | other))
    test_the_copy_itself_answers(copy)


def test_an_artefact_from_before_these_were_recorded(copy):
    file = copy / "run" / "flipkd.json"
    fields = json.loads(file.read_text())
    assert fields.pop("base_numbers")
    assert fields.pop("tokenizer")
    file.write_text(json.dumps(fields))
    test_the_copy_itself_answers(copy)


def test_an_adapter_of_another_base(copy, capfd):
    from safetensors.torch import load_file, save_file

    file = copy / "run" / "adapter_model.safetensors"
    save_file({name: value[:, :3].contiguous() for name, value in load_file(file).items()}, file)
    assert "does not fit the base model, or is damaged: " in refusal(copy, capfd)


def test_an_adapter_without_its_names(copy, capfd):
    from safetensors.torch import load_file, save_file

    file = copy / "run" / "adapter_model.safetensors"
    save_file({f"other.{name}": value for name, value in load_file(file).items()}, file)
    assert "loaded nothing" in refusal(copy, capfd)


def test_an_edited_template(copy, capfd):
    template = json.loads((copy / "run" / "flipkd.json").read_text())["template"]
    edit(copy, template=template | {"prompt": template["prompt"] + " please :"})
    assert "the prompt was edited after training" in refusal(copy, capfd)
    edit(copy, template=template | {"prompt": None})
    assert "the prompt was edited after training" in refusal(copy, capfd)
    edit(copy, template={"prompt": "x"})
    assert "The stored template lacks or adds label_ids" in refusal(copy, capfd)


def test_another_cap_than_thresholds_were_fitted_under(copy, capfd):
    template = json.loads((copy / "run" / "flipkd.json").read_text())["template"]
    for cap in (39, 41, None):
        edit(copy, template=template | {"max_text_tokens": cap})
        said = refusal(copy, capfd)
        assert f"template.max_text_tokens is {cap}, but the artefact was trained and its thresholds fitted" in said


def test_another_tokenizer(copy, capfd):
    base_model(family="unigram")[1].save_pretrained(copy / "run")
    assert "is gone, or is another one than the run wrote" in refusal(copy, capfd)
    edit(copy, tokenizer=None)
    assert "the tokenizer is another one" in refusal(copy, capfd)


def test_another_tokenizer_where_the_artefact_holds_none(copy, capfd):
    for file in json.loads((copy / "run" / "flipkd.json").read_text())["tokenizer"]:
        (copy / "run" / file).unlink()
    edit(copy, tokenizer=None)
    test_the_copy_itself_answers(copy)
    (copy / "out.csv").unlink()
    base_model(family="unigram")[1].save_pretrained(copy / "base")
    assert "the tokenizer is another one" in refusal(copy, capfd)


def test_the_artefacts_own_tokenizer_goes_before_the_bases(copy):
    words = Tokenizer.from_file(str(copy / "base" / "tokenizer.json"))
    words.normalizer = normalizers.Prepend("money ")
    words.save(str(copy / "base" / "tokenizer.json"))
    text = "reset my pin"
    own, base = (AutoTokenizer.from_pretrained(copy / place) for place in ("run", "base"))
    assert own(text).input_ids != base(text).input_ids
    matcher = Matcher.from_pretrained(copy / "run", device="cpu")
    assert matcher.student.tokenizer(text).input_ids == own(text).input_ids


@pytest.mark.parametrize("version", [0, 99, "1.5", None])
def test_another_schema_version(copy, capfd, version):
    edit(copy, schema_version=version)
    assert "flipkd.json: schema_version: " in refusal(copy, capfd)


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "name", "expected"),
    [
        (cut, "run/adapter_model.safetensors", "The adapter in"),
        (os.remove, "run/adapter_model.safetensors", "has no adapter_model.safetensors"),
        (cut, "run/adapter_config.json", "The adapter in"),
        (os.remove, "run/adapter_config.json", "has no adapter_config.json"),
        (cut, "run/flipkd.json", "flipkd.json"),
        (os.remove, "run/flipkd.json", "is no flipkd artefact"),
        (cut, "base/model.safetensors", "Could not load the student"),
        (os.remove, "base/model.safetensors", "Could not load the student"),
        (cut, "base/config.json", "Could not load the student"),
        (os.remove, "base/config.json", "Could not load the student"),
        (cut, "run/tokenizer.json", "tokenizer.json is gone, or is another one"),
        (os.remove, "run/tokenizer.json", "tokenizer.json is gone, or is another one"),
        (cut, "base/tokenizer.json", "Could not load the student"),
        (os.remove, "base/tokenizer.json", "Could not load the student"),
        (shutil.rmtree, "base", "Could not load the student"),
    ],
)
def test_a_file_that_is_cut_off_or_gone(copy, capfd, spoil, name, expected):
    spoil(copy / name)
    assert expected in refusal(copy, capfd)


def test_bytes_that_are_no_text(copy, capfd):
    (copy / "run" / "flipkd.json").write_bytes(b"\xff\xfe\x00{")
    assert "flipkd.json" in refusal(copy, capfd)


def test_a_gpu_that_is_not_there(copy, capfd, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "torch sees no GPU. Use --device cpu" in refusal(copy, capfd, "--device", "cuda")


def test_an_output_below_a_file(copy, capfd):
    assert "pairs.csv" in refusal(copy, capfd, output="pairs.csv/out.csv")


def test_a_read_only_place(copy, capfd, monkeypatch):
    made = Path.open

    def refuse(self, mode="r", *rest, **options):
        if mode[0] == "w":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        return made(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refuse)
    said = refusal(copy, capfd)
    assert "Read-only file system" in said
    assert "out.csv" in said
    assert "write elsewhere" in said
