"""Baseline: InfoNCE (van den Oord et al., 2018) on pairs.

All baselines take `mcl`'s four tensors in its order and carry its factor tau, so that one can stand in for
another under the same weight.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from flipkd.losses.reductions import mean


def infonce(
    similarity: Tensor,
    teacher: Tensor,  # noqa: ARG001 - the baselines share one signature; this one asks no teacher
    positive: Tensor,
    negative: Tensor,
    *,
    temperature: float = 0.05,
) -> Tensor:
    """Pick each positive out from the negatives by a softmax.

    tau * mean over p of -log(exp(S_p / tau) / (exp(S_p / tau) + sum_n exp(S_n / tau))).

    Comparisons stay inside the last dimension: a flat (K,) batch of labelled pairs sets each positive
    against every negative (our reading, since labelled pairs have no common anchor); an (N, N) matrix sets
    it against its own row, as usual. A positive with no negative beside it gives 0 and counts in the mean.

    Args:
        similarity: S, (..., K) cosines of the student.
        teacher: Not read.
        positive: (..., K) bool.
        negative: (..., K) bool.
        temperature: tau.

    Returns:
        Scalar, float32; exactly 0 with zero gradient if there is no positive or no negative.
    """
    logits = similarity.float() / temperature
    against = logits.masked_fill(~negative, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return temperature * mean(F.softplus(against - logits)[positive])
