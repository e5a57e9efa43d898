"""Baseline: AdapACSE, the teacher-adaptive angular margin of KDMCSE (Nguyen et al., NAACL 2024)."""

from torch import Tensor

from flipkd.losses.infonce import infonce
from flipkd.losses.margins import widened_negative


def adapacse(
    similarity: Tensor,
    teacher: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.1,
    temperature: float = 0.05,
) -> Tensor:
    """InfoNCE with cos(theta_n - |1 - T_n| m) in place of each negative's cosine.

    The less alike the teacher finds a non-match, the wider its margin. KDMCSE's filter of noisy negatives is
    the caller's `negative`. Our reading: where theta is below the margin the authors add none, here the
    continuation of `widened_negative` goes on; and MCL's margin as the default, so that the two compare.

    Args:
        similarity: S, (..., K) cosines of the student.
        teacher: T, (..., K) cosines of the teacher; read at negatives only.
        positive: (..., K) bool.
        negative: (..., K) bool.
        margin: m, radians; a negative with T = -1 gets twice that.
        temperature: tau.

    Returns:
        Scalar, float32; exactly 0 with zero gradient if there is no positive or no negative.
    """
    margins = margin * (1 - teacher.float().detach()).abs()
    # An unknown (NaN) similarity of the teacher must not reach the gradient of entries outside the set.
    widened = widened_negative(similarity, margins.masked_fill(~negative, 0.0))
    return infonce(widened, teacher, positive, negative, temperature=temperature)
