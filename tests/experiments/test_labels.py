"""The encoder without a teacher: it must learn from the labels, or the comparison with it would flatter."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flipkd.data.table import PairTable
from flipkd.experiments.labels import LabelWarmupTrainer, label_signal
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.training.arguments import training_arguments
from flipkd.training.config import FlipConfig
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


def loss_of(table, vectors, folder):
    """Of one batch of all pairs, at these vectors of its texts, temperature 1."""
    config = FlipConfig(batch_pairs=len(table), mcl_temperature=1.0)
    arguments = training_arguments(config, str(folder), epochs=1, learning_rate=2e-3, evaluate=False, device="cpu")
    trainer = LabelWarmupTrainer(student(), arguments, config=config, pairs=table)
    batch = next(iter(trainer.get_train_dataloader()))
    return float(trainer.terms(lambda _: SimpleNamespace(vectors=vectors), batch).weighted["infonce"])


def table_of(text_a, text_b, label):
    return PairTable(text_a, text_b, label=np.array(label), source="", line=[*range(1, len(label) + 1)], extra={})


def test_texts_that_no_label_names_together_are_parted_too(tmp_path):
    """MCL on labelled pairs, here matches alone, would be at rest with equal vectors: its loss would be 0."""
    matches = table_of(["one", "two"], ["a one", "a two"], [1, 1])
    assert loss_of(matches, torch.ones(4, 4) / 2, tmp_path) == pytest.approx(np.log(2))
    parted = torch.eye(2)[[0, 0, 1, 1]]
    assert loss_of(matches, parted, tmp_path) == pytest.approx(np.log1p(np.exp(-1)))


def test_a_b_that_matches_the_same_a_is_not_held_against_it(tmp_path):
    table = table_of(["one", "one", "two"], ["a one", "an one", "a two"], [1, 1, 0])
    loss = loss_of(table, torch.eye(5), tmp_path)
    assert loss == pytest.approx(np.log(2)), "each of the two has the b of the third alone against it"


def test_the_signal_is_the_labels_and_nothing_else():
    table = pairs(6)
    signal = label_signal(table)
    assert signal.vectors is None
    assert np.array_equal(signal.pair_similarity, 2 * table.label - 1)
