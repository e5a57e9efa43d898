"""What the trials share: a run by its command line, and artefacts and base models that were tampered with."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from flipkd.cli.main import main


def command(settings, file, *flags):
    """`flipkd distill` by a YAML file of these settings; gives the exit status."""
    plain = json.loads(json.dumps(asdict(settings)))
    Path(file).write_text(yaml.safe_dump(plain), encoding="utf-8")
    return main(["distill", "--config", str(file), *flags])


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def edit_json(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def base_copy(source, folder, *, tokenizer=None, **config):
    """A copy of a base model's folder, with other fields of its configuration and tokenizer."""
    shutil.copytree(source, folder)
    edit_json(folder / "config.json", **config)
    edit_json(folder / "tokenizer_config.json", **(tokenizer or {}))
    return str(folder)
