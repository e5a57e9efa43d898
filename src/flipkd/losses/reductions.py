"""The sums and means the losses share, with an answer for the empty set."""

import torch
from torch import Tensor


def zero(source: Tensor) -> Tensor:
    """An exact 0 that keeps `source` in the graph with zero gradient.

    A constant would do for the value; the graph lets a step in which every term is empty still call
    ``backward``, and keeps every process of a distributed run taking part.

    Args:
        source: Any shape, possibly empty; its values are not read, so unknown (NaN) entries do no harm.

    Returns:
        Scalar, float32.
    """
    return source[torch.zeros_like(source, dtype=torch.bool)].float().sum()


def mean(values: Tensor) -> Tensor:
    """The mean over all entries as a float32 scalar, exactly 0 with zero gradient if there are none."""
    return values.float().mean() if values.numel() else zero(values)


def log_mean_exp(values: Tensor) -> Tensor:
    """LME of docs/method.md section 5: the log of the mean of exp over a non-empty (K,) tensor.

    The largest entry is taken out before exp, so nothing overflows.
    """
    return torch.logsumexp(values, dim=0) - torch.log(values.new_tensor(float(values.numel())))
