"""Both stages on a tiny student, for the tests of this folder."""

import numpy as np
import torch
from transformers import TrainerCallback

from flipkd.teacher.signal import TeacherSignal
from flipkd.teacher.thresholds import DualThresholds
from flipkd.training.arguments import training_arguments
from flipkd.training.config import FlipConfig
from flipkd.training.trainer import FlipTrainer, WarmupTrainer
from tiny import pairs, student, texts

LIMITS = DualThresholds(0.6, 0.2, "toy")


def signal_of(table, further=(), **options):
    """Vectors of a made-up teacher: matches near, others far."""
    rng = np.random.default_rng(0)
    count = len(table.texts()) + len(further)
    vectors = rng.normal(size=(count, 6)).astype(np.float32)
    where = {text: i for i, text in enumerate(table.texts())}
    for a, b, y in zip(table.text_a, table.text_b, table.label, strict=True):
        if y:
            vectors[where[b]] = vectors[where[a]] + 0.3 * vectors[where[b]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = ([where[text] for text in side] for side in (table.text_a, table.text_b))
    fields = {
        "texts": [*table.texts(), *further],
        "vectors": vectors,
        "geometry": np.zeros(count, dtype=np.int64),
        "pair_similarity": (vectors[a] * vectors[b]).sum(axis=1),
        "mask_pairs": False,
        "calibration": np.array([[5.0, -2.0]]),
    }
    return TeacherSignal(**(fields | options))


def arguments(folder, config=None, epochs=2, **options):
    made = training_arguments(
        config or FlipConfig(), str(folder), epochs=epochs, learning_rate=5e-3, evaluate=False, device="cpu"
    )
    made.disable_tqdm = True
    for name, value in options.items():
        setattr(made, name, value)
    return made


def joint(folder, *, table=None, made=None, signal="made", config=None, arguments_=None, **options):
    table = table or pairs(40)
    config = config or FlipConfig(batch_pairs=8, logging_steps=1)
    return FlipTrainer(
        made or student(),
        arguments_ or arguments(folder, config),
        config=config,
        pairs=table,
        signal=signal_of(table) if signal == "made" else signal,
        thresholds=LIMITS,
        **options,
    )


def warmup(folder, *, further=0, config=None, made=None):
    table, config = pairs(40), config or FlipConfig(batch_pairs=8, logging_steps=1)
    return WarmupTrainer(
        made or student(),
        arguments(folder, config),
        config=config,
        pairs=table,
        signal=signal_of(table, unlabelled := texts(further, seed=9)),
        unlabelled=unlabelled,
    )


def vectors_of(trainer, batch):
    with torch.no_grad():
        return trainer.model(batch["packed"]).vectors


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True
