"""What a method gives for the table."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What one method says of the pairs, its threshold fitted on validation.

    Attributes:
        value: (n,) float64 of the test pairs.
        threshold: A match is a value at least this.
        seconds: Processor time of all training behind it, every core's; wall time on a GPU.
        trained: Whether the student is trained for it.
        note: What was chosen on validation.
    """

    value: np.ndarray
    threshold: float
    seconds: float
    trained: bool
    note: str = ""
