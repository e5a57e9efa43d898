"""Token sequences as padded rows, and where things stand in them whichever side is padded."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from flipkd.student.template import Prompt


class Rows(TypedDict):
    """Padded token sequences, on either side.

    Keys: ``ids`` (rows, positions) int64; ``mask`` likewise, 1 at real tokens; ``text_mask`` bool, true at the
    tokens of the text to encode.
    """

    ids: Tensor
    mask: Tensor
    text_mask: Tensor


def pad(sequences: Sequence[Prompt], pad_id: int, *, left: bool = False) -> Rows:
    """Pad sequences to the longest of them.

    Args:
        sequences: At least one.
        pad_id: The id at padding positions; any valid one, since they are masked.
        left: Pad before instead of behind.
    """
    longest = max(len(sequence.ids) for sequence in sequences)
    ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    text_mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        offset = longest - len(sequence.ids) if left else 0
        ids[row, offset : offset + len(sequence.ids)] = torch.tensor(sequence.ids)
        mask[row, offset : offset + len(sequence.ids)] = 1
        text_mask[row, offset + sequence.start : offset + sequence.stop] = True
    return Rows(ids=ids, mask=mask, text_mask=text_mask)


def to_device(rows: Rows, device: torch.device) -> Rows:
    """The same rows on another device."""
    return Rows(ids=rows["ids"].to(device), mask=rows["mask"].to(device), text_mask=rows["text_mask"].to(device))


def last_positions(mask: Tensor) -> Tensor:
    """(rows,) int64 position of each row's last marked token.

    Args:
        mask: (rows, positions), 1 or true at the tokens that count.
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask.bool(), position, -1).amax(dim=1)


def positions(mask: Tensor) -> Tensor:
    """(rows, positions) int64 position ids that count real tokens only, so that left and right padding agree.

    Args:
        mask: (rows, positions) int64, 1 at real tokens.
    """
    return (mask.cumsum(dim=1) - 1).clamp(min=0)
