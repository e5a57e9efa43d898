"""Losses: pure functions of tensors, one file each, float32 inside, scalars out."""
