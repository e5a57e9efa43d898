"""The student's similarities follow the teacher's (docs/method.md section 5, L_dist).

That there is a distillation term is the paper's; its form is our reading. Its two terms, each alone, are also
the two plain baselines: squared error on similarities and KL between rows of similarities.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from flipkd.losses.reductions import mean


class DistillationTerms(NamedTuple):
    """The two terms, float32 scalars; the caller weighs them as kl + gamma * squared."""

    kl: Tensor
    """How far each text's ranking of the others is from the teacher's, nats."""
    squared: Tensor
    """Mean squared difference of the cosines."""


def distillation(
    student: Tensor, teacher: Tensor, *, keep: Tensor | None = None, temperature: float = 0.05
) -> DistillationTerms:
    """The terms mean_i KL(softmax_j(T_ij / tau_d) || softmax_j(S_ij / tau_d)) and mean (S_ij - T_ij)^2.

    Both run over the kept entries off the diagonal. A row with fewer than two of them has nothing to rank:
    it gives nothing to `kl` and is not in its mean. So M = 0 and 1 give 0 twice, and M = 2 a `kl` of 0
    beside the squared error of its one comparison.

    Args:
        student: S, (M, M) cosines over the distinct texts of the batch.
        teacher: T, (M, M), likewise; read at kept entries only, so others may be unknown (NaN).
        keep: (M, M) bool, the entries that count; `None` keeps all.
        temperature: tau_d.

    Returns:
        Each exactly 0 with zero gradient if nothing is left for it.
    """
    kept = ~torch.eye(student.shape[0], dtype=torch.bool, device=student.device)
    if keep is not None:
        kept = kept & keep
    s, t = student.float(), teacher.float().detach()

    rows = kept.sum(dim=1) >= 2
    inside = kept[rows]
    log_q = (s[rows] / temperature).masked_fill(~inside, -torch.inf).log_softmax(dim=1)
    log_p = (t[rows] / temperature).masked_fill(~inside, -torch.inf).log_softmax(dim=1)
    # Selected before multiplying: outside, both logs are -inf and their product with 0 would be NaN.
    parts = log_p[inside].exp() * (log_p[inside] - log_q[inside])
    kl = parts.sum() / rows.sum().clamp_min(1)
    return DistillationTerms(kl, pair_distillation(s, t, kept))


def pair_distillation(similarity: Tensor, teacher: Tensor, keep: Tensor | None = None) -> Tensor:
    """Mean squared difference of the cosines: all that a teacher of pairs alone (a cross-encoder) allows.

    Args:
        similarity: S, (N,) cosines of the pairs (any shape will do).
        teacher: T, the same shape; read at kept entries only.
        keep: bool, the same shape; `None` keeps all.

    Returns:
        Scalar, float32; exactly 0 with zero gradient if nothing is kept.
    """
    if keep is not None:
        similarity, teacher = similarity[keep], teacher[keep]
    return mean((similarity.float() - teacher.float().detach()).square())
