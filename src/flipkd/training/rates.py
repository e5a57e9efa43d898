"""The peak learning rates of the two stages where none is given."""

from typing import Literal

from flipkd.console import announce
from flipkd.student.model import Student
from flipkd.training.config import FlipConfig

WIDTH = 576
"""Of SmolLM2-135M, on which the two rates were compared with others (docs/lab-log.md)."""
WARM_UP, JOINT = 1e-3, 2e-3
"""The rates at that width."""


def warm_up_rate(config: FlipConfig, student: Student) -> float:
    """The configured rate of the warm-up, or one by the student's width, said aloud."""
    return _rate("learning rate of the warm-up", config.warmup_learning_rate, WARM_UP, student)


def joint_rate(config: FlipConfig, student: Student) -> float:
    """The configured rate of the joint training and of fine-tuning, or one by the student's width, said aloud."""
    return _rate("learning rate", config.learning_rate, JOINT, student)


def _rate(what: str, wanted: float | Literal["auto"], at_width: float, student: Student) -> float:
    if wanted != "auto":
        return wanted
    width = int(student.model.get_base_model().config.hidden_size)
    rate = at_width * WIDTH / width
    announce(
        what, f"{rate:.2g}", f"{at_width:g} at a width of {WIDTH}, less in proportion for a wider student: {width}"
    )
    return rate
