"""Baseline: CoSENT (Su, 2022; Huang et al., IEEE/ACM TASLP 2024)."""

import torch.nn.functional as F
from torch import Tensor

from flipkd.losses.reductions import zero


def cosent(
    similarity: Tensor,
    teacher: Tensor,  # noqa: ARG001 - the baselines share one signature; this one asks no teacher
    positive: Tensor,
    negative: Tensor,
    *,
    temperature: float = 0.05,
) -> Tensor:
    """Rank every positive above every negative: tau * log(1 + sum over (p, n) of exp((S_n - S_p) / tau)).

    MCL's first zone without margins and with a sum where it has a mean, so it grows with the batch. The sum
    over pairs is the product of two sums, hence |P| + |N| work.

    Args:
        similarity: S, (K,) cosines of the student.
        teacher: Not read.
        positive: (K,) bool.
        negative: (K,) bool.
        temperature: tau.

    Returns:
        Scalar, float32; exactly 0 with zero gradient if there is no positive or no negative.
    """
    s_p, s_n = similarity[positive].float() / temperature, similarity[negative].float() / temperature
    if s_p.numel() == 0 or s_n.numel() == 0:
        return zero(similarity)
    return temperature * F.softplus(s_n.logsumexp(dim=0) + (-s_p).logsumexp(dim=0))
