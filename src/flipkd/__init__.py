"""Flipped knowledge distillation for text matching: a small encoder teaches an LLM."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flipkd.data.reader import read_pairs
    from flipkd.distill.config import DistillConfig
    from flipkd.errors import FlipkdError
    from flipkd.matching.matcher import Matcher
    from flipkd.retrieval.index import FaqIndex
    from flipkd.teacher.teacher import Teacher
    from flipkd.training.config import FlipConfig
    from flipkd.training.trainer import FlipTrainer

__version__ = "0.1.0"

_HOMES = {
    "DistillConfig": "flipkd.distill.config",
    "FaqIndex": "flipkd.retrieval.index",
    "FlipConfig": "flipkd.training.config",
    "FlipTrainer": "flipkd.training.trainer",
    "FlipkdError": "flipkd.errors",
    "Matcher": "flipkd.matching.matcher",
    "Teacher": "flipkd.teacher.teacher",
    "read_pairs": "flipkd.data.reader",
}
"""Where each public name lives; it is imported when it is first used, so that `import flipkd` is quick."""

__all__ = [
    "DistillConfig",
    "FaqIndex",
    "FlipConfig",
    "FlipTrainer",
    "FlipkdError",
    "Matcher",
    "Teacher",
    "read_pairs",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'flipkd' has no attribute {name!r}")
