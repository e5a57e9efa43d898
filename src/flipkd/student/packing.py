"""A batch as one flat row of tokens, without padding and with nothing in it twice (docs/method.md section 3).

The template's prefix P, each distinct text and the rest of each pair, Q b R, are segments of one row. A segment
sees its ancestors and itself: a text sees P, the rest of a pair sees P and its first text. So a text is
computed once, for its vector and for every pair it begins, and every result equals that of the prompt alone.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor

from flipkd.student.template import Template


class Rows(TypedDict):
    """Segments of one kind as padded rows of indices, for the attention alone; -1 where there is no token.

    Keys: ``query`` (segments, longest) int64, each segment's own tokens; ``key`` (segments, longest path) int64,
    the tokens it sees.
    """

    query: Tensor
    key: Tensor


class Layout(TypedDict):
    """Who sees whom in a flat row of T tokens.

    Keys: ``position`` (T,) int64, each token's distance from its prompt's beginning; ``rows``; ``back`` (T,)
    int64, where each token stands among the rows' queries, one kind after the other.
    """

    position: Tensor
    rows: list[Rows]
    back: Tensor


class Packed(TypedDict):
    """A batch: P, then the texts that begin a pair, the rest of each pair, and last the texts that begin none.

    Keys: ``ids`` (T,) int64; ``start`` (segments + 1,) int64, where each segment begins; ``parent`` (segments,)
    int64, -1 for none; ``layout`` of all tokens; ``carried``, the number of leading tokens that the answers
    need, which go on above the last site; ``asked`` (pairs,) int64, each pair's last token; ``read``, the layout
    of these alone, seeing the carried ones; ``text_token`` (K,) int64, the texts' own tokens, text by text;
    ``carried_text``, how many of them are carried, which come first; ``text_of`` (K,) int64, the text of each;
    ``text_last`` (texts,) int64, where in ``text_token`` each text ends. "The texts" are those whose vectors
    are read, which may be none.
    """

    ids: Tensor
    start: Tensor
    parent: Tensor
    layout: Layout
    carried: int
    asked: Tensor
    read: Layout
    text_token: Tensor
    carried_text: int
    text_of: Tensor
    text_last: Tensor


class Segments(NamedTuple):
    """Token ids of each segment, and the index of the segment it continues, -1 for none."""

    ids: Sequence[Sequence[int]] | Sequence[np.ndarray]
    parent: Sequence[int]

    def chain(self, segment: int) -> list[int]:
        """The segment's ancestors from the first, and itself."""
        found = [segment]
        while self.parent[found[0]] >= 0:
            found.insert(0, self.parent[found[0]])
        return found


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    found = np.full((len(rows), max(len(row) for row in rows)), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return torch.from_numpy(found)


def lay_out(segments: Segments, past: Sequence[int] = ()) -> tuple[np.ndarray, Layout]:
    """Put segments behind one another.

    Args:
        segments: Parents before children. Segments of one depth that follow one another are padded together.
        past: Tokens of the segments, from the first, that are not in the row since their keys and values are
            known; they are numbered behind the row's own.

    Returns:
        Where each segment begins, (segments + 1,) int64, and the layout.
    """
    known = len(past)
    start = np.concatenate([[0], np.cumsum([len(ids) for ids in segments.ids[known:]])]).astype(np.int64)
    at = int(start[-1]) + np.concatenate([[0], np.cumsum(past)]).astype(np.int64)
    tokens = [np.arange(at[i], at[i + 1]) for i in range(known)]
    tokens += [np.arange(a, b) for a, b in pairwise(start)]
    chains = [segments.chain(i) for i in range(known, len(tokens))]
    keys = [np.concatenate([tokens[i] for i in chain]) for chain in chains]
    position, rows, back, before = [], [], [], 0
    for _, group in groupby(range(len(chains)), key=lambda i: len(chains[i])):
        members = list(group)
        query = _padded([tokens[known + i] for i in members])
        rows.append(Rows(query=query, key=_padded([keys[i] for i in members])))
        for place, i in enumerate(members):
            own = len(tokens[known + i])
            position.append(np.arange(len(keys[i]) - own, len(keys[i])))
            back.append(before + place * query.shape[1] + np.arange(own))
        before += query.numel()
    layout = Layout(
        position=torch.from_numpy(np.concatenate(position)), rows=rows, back=torch.from_numpy(np.concatenate(back))
    )
    return start, layout


def pack(
    template: Template,
    texts: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int]],
    vectors: Literal["all", "first", "none"] = "all",
) -> Packed:
    """One batch of texts and of pairs between them.

    Args:
        template: The prompt as ids.
        texts: Token ids of distinct texts.
        pairs: Indices of a and b among them.
        vectors: Whose vectors are read: of `all` texts; of those alone that come `first` in a pair, in the order
            in which they first do, which costs nothing more; or `none`.
    """
    first = list(dict.fromkeys(a for a, _ in pairs))
    slot = {text: 1 + place for place, text in enumerate(first)}
    lone = [i for i in range(len(texts)) if i not in slot] if vectors == "all" else []
    rank = {"all": [*first, *lone], "first": range(len(first)), "none": ()}[vectors]
    segments = Segments(
        ids=[
            template.prefix,
            *(texts[i] for i in first),
            *((*template.middle, *texts[b], *template.suffix) for _, b in pairs),
            *(texts[i] for i in lone),
        ],
        parent=[-1, *[0] * len(first), *(slot[a] for a, _ in pairs), *[0] * len(lone)],
    )
    start, layout = lay_out(segments)
    carried = int(start[1 + len(first) + len(pairs)]) if pairs else 0
    read, asked = read_layout(layout, carried, len(pairs))
    return Packed(
        ids=torch.tensor([token for ids in segments.ids for token in ids]),
        start=torch.from_numpy(start),
        parent=torch.tensor(segments.parent),
        layout=layout,
        carried=carried,
        asked=asked,
        read=read,
        **_texts(start, list(rank), len(first), 1 + len(first) + len(pairs)),
    )


def carried_layout(packed: Packed) -> Layout:
    """The layout of the carried tokens alone: the lone texts are the last rows."""
    layout, carried = packed["layout"], packed["carried"]
    rows = layout["rows"] if carried == len(layout["position"]) else layout["rows"][:-1]
    return Layout(position=layout["position"][:carried], rows=rows, back=layout["back"][:carried])


def read_layout(layout: Layout, carried: int, pairs: int) -> tuple[Layout, Tensor]:
    """The layout in which the last token of each pair alone asks, and sees what it saw before.

    All keys are the carried tokens' (and any past ones'), numbered behind the asking ones.

    Args:
        layout: Of the whole row.
        carried: Its leading tokens that the answers need.
        pairs: How many answers there are.

    Returns:
        The layout, and (pairs,) int64 the asking tokens.
    """
    asking = torch.arange(pairs)
    if not pairs:
        return Layout(position=asking, rows=[], back=asking), asking
    rows = layout["rows"][-1 if carried == len(layout["position"]) else -2]
    last = rows["query"].amax(dim=1)
    key = torch.where(rows["key"] < 0, -1, rows["key"] + pairs)
    return Layout(position=layout["position"][last], rows=[Rows(query=asking[:, None], key=key)], back=asking), last


class _Texts(TypedDict):
    text_token: Tensor
    carried_text: int
    text_of: Tensor
    text_last: Tensor


def _texts(start: np.ndarray, rank: Sequence[int], first: int, lone_from: int) -> _Texts:
    """Where the tokens of the texts are whose vectors are read.

    Args:
        start: Where each segment begins.
        rank: The place of each text's vector, those that come first in a pair before the lone ones.
        first: How many come first in a pair; their segments begin at 1.
        lone_from: The segment of the first lone text.
    """
    spans = [
        np.arange(*start[segment : segment + 2])
        for segment in (1 + i if i < first else lone_from + i - first for i in range(len(rank)))
    ]
    sizes = np.array([len(span) for span in spans], dtype=np.int64)
    last = np.zeros(len(rank), dtype=np.int64)
    last[np.array(rank, dtype=np.int64)] = np.cumsum(sizes) - 1
    return _Texts(
        text_token=torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *spans])),
        carried_text=int(sizes[:first].sum()),
        text_of=torch.from_numpy(np.repeat(np.array(rank, dtype=np.int64), sizes)),
        text_last=torch.from_numpy(last),
    )


Tensors = TypeVar("Tensors", Packed, Layout)


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """The same batch, or layout, on another device."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, dict):
            return {name: move(inner) for name, inner in value.items()}
        return [move(inner) for inner in value] if isinstance(value, list) else value

    found: Tensors = move(tensors)
    return found
