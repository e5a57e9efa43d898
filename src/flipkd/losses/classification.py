"""The decoder's loss: cross-entropy over the two label words (docs/method.md sections 2 and 5, L_CE and L_soft)."""

import torch.nn.functional as F
from torch import Tensor

from flipkd.losses.reductions import zero


def label_cross_entropy(log_odds: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy over the two label rows of the output layer.

    A softmax over two logits depends on their difference alone: with z = logit(yes) - logit(no),
    -log softmax(yes) = softplus(-z) and -log softmax(no) = softplus(z). So the cross-entropy over the two
    rows equals the binary cross-entropy of the log-odds, which is what is computed.

    Args:
        log_odds: (N,), any float dtype.
        label: (N,), 0 or 1, or a teacher's probability of a match between them; any dtype.

    Returns:
        Scalar, float32, in nats; exactly 0 with zero gradient if N = 0.
    """
    if log_odds.numel() == 0:
        return zero(log_odds)
    return F.binary_cross_entropy_with_logits(log_odds.float(), label.float())
