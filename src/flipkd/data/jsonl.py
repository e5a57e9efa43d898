"""JSON lines: one object a line."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from flipkd.data.encoding import choose_encoding, decoded, lines_of
from flipkd.data.records import Records, batched
from flipkd.errors import FlipkdError


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(members)
    if len(record) < len(members):
        twice, _ = Counter(key for key, _ in members).most_common(1)[0]
        raise ValueError(f"the key {twice!r} is there twice")
    return record


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no value of JSON: write null")


def _parse(text: str, line: int, path: str) -> dict[str, Any]:
    try:
        record = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise FlipkdError(
            f"{path}, line {line}: no JSON ({error}). Each line must be one whole object, and no list around them."
        ) from error
    if not isinstance(record, dict):
        raise FlipkdError(
            f"{path}, line {line}: JSON, but no object. Each line must be one object such as "
            '{"text_a": "...", "text_b": "...", "label": 1}, and no list around them.'
        )
    if "\\ud" in text.lower():
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise FlipkdError(
                f"{path}, line {line}: half a surrogate pair (\\ud800 to \\udfff), which is no character. "
                "Most often a text was cut inside an emoji; take that half out."
            ) from error
    return record


def _objects(stream: IO[str], path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(lines_of(stream, path), start=1):
        if not text.isspace():
            yield line, _parse(text, line, path)


@contextmanager
def jsonl_records(path: str, encoding: str | None, chunk_rows: int) -> Iterator[Records]:
    r"""Open a JSON lines file.

    Objects may lack keys that others have: the file is gone through once for its keys, in order of first
    appearance, and a second time for its records; a missing cell is None. Lines end at ``\n`` alone, so a
    text may hold any other separator.

    Args:
        path: The file, packed (.gz, .zst) or not.
        encoding: The encoding the user names, or None.
        chunk_rows: Records in a batch.

    Raises:
        FlipkdError: Nothing in the file, or a line that is not one JSON object.
    """
    chosen = choose_encoding(path, encoding)
    keys: dict[str, None] = {}
    with decoded(path, chosen, newline="\n") as stream:
        for _, record in _objects(stream, path):
            keys.update(dict.fromkeys(record))
    if not keys:
        raise FlipkdError(f"{path} is empty. Each line must be one JSON object.")
    # Opened again and not wound back: an unpacked stream need not know how.
    with decoded(path, chosen, newline="\n") as stream:
        rows = ((line, [record.get(key) for key in keys]) for line, record in _objects(stream, path))
        yield Records(list(keys), batched(rows, chunk_rows), "line")
