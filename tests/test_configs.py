"""Every YAML file in configs/ is one that `flipkd distill` takes, and distill.yaml holds every default."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from docstring_parser import parse_from_object

from flipkd.cli.distill import Options
from flipkd.cli.options import parse
from flipkd.distill.config import DistillConfig
from flipkd.teacher.training import TeacherConfig
from flipkd.training.config import FlipConfig

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "configs").glob("*.yaml"))


def names(settings, prefix=""):
    """All names of nested settings, with dots; free-form dictionaries are values."""
    found = set()
    for name, value in settings.items():
        found |= names(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def test_there_are_configs():
    assert {"demo.yaml", "distill.yaml"} <= {file.name for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_taken_whole(file):
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    made = asdict(parse(Options, "flipkd distill", ["--config", str(file)]))
    # label_words is a list in YAML and a tuple in Python.
    assert {name: list(v) if isinstance(v := made[name], tuple) else v for name in written} == written


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_it_names_exist(file):
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    named = [written.get(name) for name in ("train", "validation", "test", "unlabelled")]
    assert [name for name in named if name and not (ROOT / name).is_file()] == []


def test_distill_yaml_lists_every_setting_at_its_default():
    file = ROOT / "configs" / "distill.yaml"
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert names(written) == names(asdict(DistillConfig()))
    assert parse(Options, "flipkd distill", ["--config", str(file)]) == DistillConfig()


def test_distill_yaml_says_meaning_type_and_default_of_each():
    lines = (ROOT / "configs" / "distill.yaml").read_text(encoding="utf-8").splitlines()
    settings = [number for number, line in enumerate(lines) if line.strip() and not line.strip().startswith("#")]
    bare = [
        lines[number]
        for number in settings
        if lines[number] != "teacher_training:" and not re.match(r" *# Type: .+; default: .+\.", lines[number - 1])
    ]
    assert bare == []


@pytest.mark.parametrize("options", [FlipConfig, DistillConfig, TeacherConfig])
def test_distill_yaml_says_what_the_help_says(options):
    comments = [line.strip().removeprefix("#") for line in (ROOT / "configs" / "distill.yaml").read_text().splitlines()]
    said = " ".join(" ".join(comments).split())
    meanings = [" ".join(param.description.split()) for param in parse_from_object(options).params]
    assert meanings
    assert [meaning for meaning in meanings if meaning not in said] == []
