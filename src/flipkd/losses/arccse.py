"""Baseline: the angular margin of ArcCSE (Zhang et al., ACL 2022)."""

import torch
from torch import Tensor

from flipkd.losses.infonce import infonce
from flipkd.losses.margins import widened_positive


def arccse(
    similarity: Tensor,
    teacher: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.1,
    temperature: float = 0.05,
) -> Tensor:
    """InfoNCE with cos(theta_p + m) in place of each positive's cosine (ArcCSE's pairwise loss).

    Its loss on triplets of masked sentences is left out: labelled pairs have no such triplets. Our reading:
    the continuation of `widened_positive` where theta + m > pi, and MCL's margin as the default, so that
    the two compare.

    Args:
        similarity: S, (..., K) cosines of the student.
        teacher: Not read; here for the shared signature.
        positive: (..., K) bool.
        negative: (..., K) bool.
        margin: m, radians.
        temperature: tau.

    Returns:
        Scalar, float32; exactly 0 with zero gradient if there is no positive or no negative.
    """
    widened = widened_positive(similarity, torch.full_like(similarity, margin))
    moved = torch.where(positive, widened, similarity.float())
    return infonce(moved, teacher, positive, negative, temperature=temperature)
