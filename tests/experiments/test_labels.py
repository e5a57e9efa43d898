"""The encoder without a teacher: it must learn from the labels, or the comparison with it would flatter."""

import numpy as np

from flipkd.experiments.labels import LabelWarmupTrainer, label_signal
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.training.config import FlipConfig
from flipkd.training.trainer import training_arguments
from tiny import pairs, student


def gap(made, table):
    """Mean similarity of the matches less that of the others."""
    encoded = EncodedPairs.of(made, table.text_a, table.text_b)
    vectors = Reader(made).vectors(encoded.ids)
    similarity = (vectors[encoded.a] * vectors[encoded.b]).sum(axis=1)
    return similarity[table.label == 1].mean() - similarity[table.label == 0].mean()


def test_the_warm_up_from_labels_parts_the_classes(tmp_path):
    made, table = student(), pairs(40)
    config = FlipConfig(batch_pairs=8)
    before = gap(made, table)
    arguments = training_arguments(config, str(tmp_path), epochs=30, learning_rate=2e-3, evaluate=False, device="cpu")
    arguments.disable_tqdm = True
    LabelWarmupTrainer(made, arguments, config=config, pairs=table).run()
    assert gap(made, table) > before + 0.2


def test_the_signal_is_the_labels_and_nothing_else():
    table = pairs(6)
    signal = label_signal(table)
    assert signal.vectors is None
    assert np.array_equal(signal.pair_similarity, 2 * table.label - 1)
