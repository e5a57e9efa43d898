"""Options straight from a dataclass: its fields are the flags, its attribute docstrings the help."""

import json
import os
from dataclasses import fields, is_dataclass
from itertools import pairwise, takewhile
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from flipkd.errors import FlipkdError

T = TypeVar("T")


def parse(options: type[T], prog: str, words: list[str]) -> T:
    """Read a command's options from its words and from YAML.

    Args:
        options: The dataclass.
        prog: How the command is called.
        words: What stands behind it.

    Raises:
        FlipkdError: If a file of ``--config`` is not UTF-8.
        SystemExit: If the words or the YAML do not fit, with what does on standard error.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog=prog, description=options.__doc__)
    parser.add_argument("--config", action="config", help="A YAML file with these options.")
    words = _name_first(words, positionals(options))
    parser.add_class_arguments(options, as_group=False)
    spelled, texts = _spelled(words, options)
    try:
        found = parser.parse_args(spelled)
    except UnicodeDecodeError as error:
        named = ", ".join(after for word, after in pairwise(spelled) if word == "--config")
        named = named or ", ".join(word.partition("=")[2] for word in spelled if word.startswith("--config="))
        raise FlipkdError(f"{named}: the file of --config is not UTF-8 ({error}). Save it as UTF-8.") from error
    found.pop("config", None)
    given = parser.instantiate(found).as_dict()
    made: T = options(**_at_home(options, {name: _restored(value, texts) for name, value in given.items()}))
    return made


def positionals(options: type) -> tuple[str, ...]:
    """Fields that may be given without their name, as the first words, in this order."""
    return tuple(field.name for field in fields(options) if field.metadata.get("first_word"))


def _at_home(options: type, values: dict[str, Any]) -> dict[str, Any]:
    """Values by field, a ~ of a path replaced: a shell leaves it in --output=~/x, and nobody else expands it in YAML.

    Defaults stay as they are, lest a home folder be recorded that nobody named; so does what may be any text.
    """
    kept = {
        field.name for field in fields(options) if field.metadata.get("any_text") or values[field.name] == field.default
    }
    return {name: value if name in kept else _expanded(value) for name, value in values.items()}


def _name_first(words: list[str], names: tuple[str, ...]) -> list[str]:
    bare = list(takewhile(lambda word: not word.startswith("-"), words[: len(names)]))
    return [f"--{name}={word}" for name, word in zip(names, bare, strict=False)] + words[len(bare) :]


def _switches(options: type) -> set[str]:
    """The boolean fields, which may stand without a value; those of a nested dataclass as ``outer.inner``."""
    found: set[str] = set()
    for name, kind in get_type_hints(options).items():
        if kind is bool:
            found.add(name)
        elif isinstance(kind, type) and is_dataclass(kind):
            found |= {f"{name}.{inner}" for inner in _switches(kind)}
    return found


def _spelled(words: list[str], options: type) -> tuple[list[str], dict[str, str]]:
    """Words as the parser knows them: --keep-teacher is --keep_teacher, and a lone switch is true.

    The key of a dictionary is the user's and stays as it is: --models.my-model. The parser reads values as YAML, in
    which # or ~ would be nothing: such a text, where it need not be there or is one of a dictionary, is given to it
    under another name.

    Returns:
        The words, and the texts by their names in them.
    """
    switches = _switches(options)
    hints = get_type_hints(options)
    dictionaries = {name for name, kind in hints.items() if _is_dictionary(kind)}
    lists = {name for name, kind in hints.items() if kind in (list[str], list[str] | None)}
    optional = {name for name, kind in hints.items() if set(get_args(kind)) == {str, NoneType}}
    found: list[str] = []
    texts: dict[str, str] = {}

    def named(value: str) -> str:
        if _is_text(value):
            return value
        name = f"\ue000{len(texts)}"  # of no script, so nobody's own word
        texts[name] = value
        return name

    text = listed = False
    for index, word in enumerate(words):
        if not word.startswith("--"):
            found.append(named(word) if text else _list_of(word) if listed else word)
            text = listed = False
            continue
        name, equals, value = word[2:].partition("=")
        outer, dot, inner = name.partition(".")
        outer = outer.replace("-", "_")
        name = outer + dot + (inner if outer in dictionaries else inner.replace("-", "_"))
        alone = not equals and (index + 1 == len(words) or words[index + 1].startswith("-"))
        if name in switches and alone:
            equals, value = "=", "true"
        text, listed = name in optional or (outer in dictionaries and bool(dot)), name in lists
        if listed and equals:
            value, listed = _list_of(value), False
        if text and equals:
            value, text = named(value), False
        found.append(f"--{name}{equals}{value}")
    return found, texts


def _list_of(value: str) -> str:
    """A list of texts as YAML: --ids 12 and --ids '[12, pin]' mean texts, too, which YAML would read as numbers.

    null stays what it is, no list.
    """
    if value == "null":
        return value
    try:
        # Of all values this loader makes texts.
        found = yaml.load(value, yaml.BaseLoader)
    except yaml.YAMLError:
        if value.startswith("["):
            return value
        found = value
    return json.dumps(found if isinstance(found, list) else [value], ensure_ascii=False)


def _is_text(value: str) -> bool:
    """Whether a value that is read as YAML is still there, and no mapping or list."""
    try:
        return isinstance(yaml.safe_load(value), str | int | float)
    except (yaml.YAMLError, ValueError):
        return True


def _restored(value: Any, texts: dict[str, str]) -> Any:
    """A field's value with the texts that were named for the parser."""
    if isinstance(value, dict):
        return {key: _restored(one, texts) for key, one in value.items()}
    return texts.get(value, value) if isinstance(value, str) else value


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(one) for key, one in value.items()}
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~/") else value


def _is_dictionary(kind: Any) -> bool:
    """Whether a field holds a dictionary, or may."""
    return any(dict in (part, get_origin(part)) for part in (kind, *get_args(kind)))
