"""Flipped knowledge distillation for text matching."""

__version__ = "0.1.0"
