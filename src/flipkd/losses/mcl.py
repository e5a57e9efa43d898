"""Margin-aware Contrastive Learning (docs/method.md section 5).

The paper states two margin zones: one between positives and negatives, one that keeps differences inside
each class. The formulas are our reading; its equations were not to be had.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flipkd.losses.margins import widened_negative, widened_positive
from flipkd.losses.reductions import log_mean_exp, mean, zero


class MclTerms(NamedTuple):
    """The two zones, float32 scalars; the caller weighs them as inter + beta * intra."""

    inter: Tensor
    """Zone 1, between the classes."""
    intra: Tensor
    """Zone 2, inside each class."""


def positive_margin(teacher: Tensor, tau_n: float, margin: float) -> Tensor:
    """Wider where the teacher is surer of a match: m = m_p clip((T - tau_n) / (1 - tau_n), 0, 1).

    Args:
        teacher: T, cosines, any shape.
        tau_n: Ceiling of trusted negatives, below 1.
        margin: m_p, the widest margin, radians.

    Returns:
        m in radians, float32, the shape of `teacher`.
    """
    return margin * ((teacher.float() - tau_n) / (1 - tau_n)).clamp(0, 1)


def negative_margin(teacher: Tensor, tau_p: float, margin: float) -> Tensor:
    """Wider where the teacher is surer of a non-match: m = m_n clip((tau_p - T) / (tau_p + 1), 0, 1).

    Args:
        teacher: T, cosines, any shape.
        tau_p: Floor of trusted positives, above -1.
        margin: m_n, the widest margin, radians.

    Returns:
        m in radians, float32, the shape of `teacher`.
    """
    return margin * ((tau_p - teacher.float()) / (tau_p + 1)).clamp(0, 1)


def _shortfalls(similarity: Tensor, teacher: Tensor, kappa: float, delta: float) -> Tensor:
    """relu(kappa (T_u - T_v) - (S_u - S_v)) for every u, v of one class with T_u - T_v > delta, flat."""
    wanted = teacher[:, None] - teacher[None, :]
    held = similarity[:, None] - similarity[None, :]
    return F.relu(kappa * wanted - held)[wanted > delta]


def mcl(
    similarity: Tensor,
    teacher: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    tau_p: float,
    tau_n: float,
    margin_positive: float = 0.1,
    margin_negative: float = 0.1,
    temperature: float = 0.05,
    kappa: float = 1.0,
    delta: float = 0.05,
) -> MclTerms:
    """Both zones of MCL (our reading).

    Zone 1: tau * softplus(LME_{n in N}(s-_n / tau) + LME_{p in P}(-s+_p / tau)), LME = log mean exp. It
    equals tau times the log of 1 + the mean over all (p, n) of exp((s-_n - s+_p) / tau), in |P| + |N| work.
    The factor tau keeps its gradient of order 1 beside the cross-entropy's.

    Zone 2: the mean of relu(kappa (T_u - T_v) - (S_u - S_v)) over u, v in the same set with
    T_u - T_v > delta. It rests once order and gaps agree with the teacher's. |P|^2 + |N|^2 memory: a few
    MB for the 1,024 entries of a 32 x 32 matrix.

    Args:
        similarity: S, (K,) cosines of the student.
        teacher: T, (K,) cosines of the teacher; read inside the two sets only.
        positive: (K,) bool, the set P.
        negative: (K,) bool, the set N.
        tau_p: Floor of trusted positives.
        tau_n: Ceiling of trusted negatives, below tau_p.
        margin_positive: m_p, radians.
        margin_negative: m_n, radians.
        temperature: tau.
        kappa: How much of the teacher's gap the student must show.
        delta: The smallest gap of the teacher that counts.

    Returns:
        `inter` is exactly 0 with zero gradient if P or N is empty, `intra` if no two entries of a set are
        further apart than `delta`.
    """
    s_p, t_p = similarity[positive].float(), teacher[positive].float().detach()
    s_n, t_n = similarity[negative].float(), teacher[negative].float().detach()

    if s_p.numel() and s_n.numel():
        near = widened_positive(s_p, positive_margin(t_p, tau_n, margin_positive)) / temperature
        far = widened_negative(s_n, negative_margin(t_n, tau_p, margin_negative)) / temperature
        inter = temperature * F.softplus(log_mean_exp(far) + log_mean_exp(-near))
    else:
        inter = zero(similarity)

    intra = mean(torch.cat([_shortfalls(s_p, t_p, kappa, delta), _shortfalls(s_n, t_n, kappa, delta)]))
    return MclTerms(inter, intra)
