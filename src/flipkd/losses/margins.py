"""Margins added to the angle behind a cosine (docs/method.md section 5).

With theta = arccos(S), cos(theta + m) = S cos m - sqrt(1 - S^2) sin m needs no arccos, whose derivative is
infinite at S = -1 and S = 1. The root's own derivative is kept finite by a floor under it.
"""

import torch
from torch import Tensor

# Below float32's own noise in 1 - S^2 next to |S| = 1, so the floor acts at the very ends only.
FLOOR = 1e-7


def _sine(similarity: Tensor) -> Tensor:
    """sin(arccos(S)), at least sqrt(`FLOOR`); a cosine that rounding pushed past 1 counts as 1."""
    return ((1 - similarity) * (1 + similarity)).clamp_min(FLOOR).sqrt()


def widened_positive(similarity: Tensor, margin: Tensor) -> Tensor:
    """s+ = cos(theta + m): a match looks less similar than it is, so it must come closer to satisfy.

    Where theta + m > pi, the cosine would rise again and push the worst errors the wrong way; there it goes
    on as S - m sin m, whose gradient is that of S. At the junction the value steps down by about m^2 / 2, so
    it stays monotone in S. With m = 0 the result is exactly S.

    Args:
        similarity: S, cosines in [-1, 1], any shape.
        margin: m, radians in [0, pi], the same shape.

    Returns:
        s+, float32, the shape of `similarity`.
    """
    s, m = similarity.float(), margin.float()
    turned = s * m.cos() - _sine(s) * m.sin()
    return torch.where(s < -m.cos(), s - m * m.sin(), turned)


def widened_negative(similarity: Tensor, margin: Tensor) -> Tensor:
    """s- = cos(theta - m): a non-match looks more similar than it is, so it must move further away.

    Where theta < m, it goes on as S + m sin m: the mirror image of `widened_positive`.

    Args:
        similarity: S, cosines in [-1, 1], any shape.
        margin: m, radians in [0, pi], the same shape.

    Returns:
        s-, float32, the shape of `similarity`.
    """
    return -widened_positive(-similarity, margin)
