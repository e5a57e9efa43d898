"""The peak learning rates of the two stages where none is given."""

from math import sqrt
from statistics import fmean
from typing import Literal

import torch

from flipkd.console import announce
from flipkd.student.model import Student
from flipkd.training.config import FlipConfig

GAIN = 5.1
"""The mean gain of SmolLM2-135M's linear maps, on which the two rates were compared with others (docs/lab-log.md)."""
WARM_UP, JOINT = 1e-3, 2e-3
"""The rates at that gain."""


def warm_up_rate(config: FlipConfig, student: Student) -> float:
    """The configured rate of the warm-up, or one by the student's gain, said aloud."""
    return _rate("learning rate of the warm-up", config.warmup_learning_rate, WARM_UP, student)


def joint_rate(config: FlipConfig, student: Student) -> float:
    """The configured rate of the joint training and of fine-tuning, or one by the student's gain, said aloud."""
    return _rate("learning rate", config.learning_rate, JOINT, student)


def mean_gain(student: Student) -> float:
    """How much larger the linear maps with an adapter make entries of random sign, in the mean over the maps.

    Of a map W it is the root mean square of its rows' norms. Adam moves each weight of LoRA by about the learning rate
    a step, however small the gradient, so at rates in proportion to the gain all students have moved as far from W, in
    relation to what W does. The width plays no part beside it: PEFT draws smaller entries of A for a wider map, but
    more of them meet a vector.

    Args:
        student: With its adapter, not merged.

    Returns:
        A ratio, without a unit: 5.1 for SmolLM2-135M, 0.97 for Gemma 3 270M.
    """
    from peft.tuners.lora import LoraLayer

    maps = [module for module in student.model.modules() if isinstance(module, LoraLayer)]
    norms = [float(torch.linalg.vector_norm(each.base_layer.weight, dtype=torch.float32)) for each in maps]
    return fmean(norm / sqrt(each.out_features) for norm, each in zip(norms, maps, strict=True))


def _rate(what: str, wanted: float | Literal["auto"], at_gain: float, student: Student) -> float:
    if wanted != "auto":
        return wanted
    gain = mean_gain(student)
    rate = float(f"{at_gain * gain / GAIN:.2g}")
    announce(what, f"{rate:g}", f"{at_gain:g} where the adapted linear maps have a gain of {GAIN}, here {gain:.2g}")
    return rate
