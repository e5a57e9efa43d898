"""How a run was made: its command, what was set otherwise than the defaults, and the machine."""

import json
import os
import platform
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipkd.device import describe_device, processor_name
from flipkd.distill.config import DistillConfig
from flipkd.student.loading import PACKAGED

RUN_FILE = Path("training") / "run.json"
"""Where an artefact keeps it."""


def run_record(config: DistillConfig, device: str) -> dict[str, Any]:
    """What is to be kept of a run beside its settings, ready for JSON.

    Args:
        config: The effective settings.
        device: Where it computed.
    """
    import torch

    changed = changed_settings(config)
    return {
        "command": command(changed),
        "changed": changed,
        "student_from": _origin(config.student),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "hardware": {
            "system": platform.system(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": describe_device(device),
        },
    }


def changed_settings(config: DistillConfig) -> dict[str, Any]:
    """The settings that differ from the defaults of this version: ``value`` and ``default`` by name.

    Args:
        config: The effective settings.

    Returns:
        Nested as the settings are.
    """
    return _changed(_plain(config), _plain(DistillConfig()))


def command(changed: Mapping[str, Any]) -> str:
    """The command line of a run.

    Args:
        changed: Of `changed_settings`.
    """
    words = ["flipkd", "distill"]
    for name, value in _flags(changed):
        flag, text = f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)
        # A value that begins like an option would be read as one.
        words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return shlex.join(words)


def _plain(config: DistillConfig) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(config))))


def _changed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, default in defaults.items():
        value = settings[name]
        if isinstance(default, dict):
            found[name] = _changed(value, default)
        elif value != default:
            found[name] = {"value": value, "default": default}
    return {name: entry for name, entry in found.items() if entry}


def _flags(changed: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in changed.items():
        if "default" in entry:
            yield outer + name, entry["value"]
        else:
            yield from _flags(entry, f"{outer}{name}.")


def _origin(student: str) -> str:
    if student in PACKAGED:
        return "package"
    return "folder" if Path(student).exists() else "hub"
