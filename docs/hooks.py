"""Fills the tables of reference/cli.md from the commands' own dataclasses, so that they can't go stale."""

import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from typing import Any

from docstring_parser import parse_from_object

from flipkd.cli.main import COMMANDS


def _meanings(options: type) -> dict[str, str]:
    """The attribute docstring of each field, those of base classes too."""
    return {
        param.arg_name: " ".join((param.description or "").split())
        for part in reversed(options.__mro__[:-1])
        for param in parse_from_object(part).params
    }


def _default(field: Field[Any]) -> str:
    value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
    return "" if value in ("", None) else f"`{value!r}`"


def _kind(kind: Any) -> str:
    name = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    return name.replace("typing.", "")


def _rows(options: type, prefix: str = "") -> list[str]:
    kinds, meanings = typing.get_type_hints(options), _meanings(options)
    inherited = {field.name for part in options.__mro__[1:-1] for field in fields(part)}
    # The command's own options first, those of the method behind them.
    ordered = sorted(fields(options), key=lambda field: field.name in inherited)
    rows = []
    for field in ordered:
        kind = kinds[field.name]
        if is_dataclass(kind):
            rows += _rows(kind, f"{prefix}{field.name}.")
            continue
        flag = f"--{prefix}{field.name}".replace("_", "-")
        rows.append(f"| `{flag}` | `{_kind(kind)}` | {_default(field)} | {meanings[field.name]} |")
    return rows


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put every command's table where the page says ``<!-- commands -->``."""
    if page.file.src_uri != "reference/cli.md":
        return markdown
    parts = []
    for words, (module, _) in COMMANDS.items():
        options = import_module(module).Options
        parts += [f"## flipkd {' '.join(words)}", options.__doc__ or "", "| option | type | default | meaning |"]
        parts[-1] += "\n|---|---|---|---|\n" + "\n".join(_rows(options))
    return markdown.replace("<!-- commands -->", "\n\n".join(parts))
