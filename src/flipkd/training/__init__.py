"""Flipped distillation: configuration, batches, the two trainers and the whole job."""
