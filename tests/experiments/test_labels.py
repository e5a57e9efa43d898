"""The encoder without a teacher: it must learn from the labels, or the comparison with it would flatter."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from flipkd.data.table import PairTable
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


def test_equal_vectors_are_no_rest_of_the_warm_up_from_labels(tmp_path):
    """MCL's zone between the classes is nearly flat there, and the encoders of real students stayed."""
    made, table = student(), pairs(40)
    config = FlipConfig(batch_pairs=8)
    arguments = training_arguments(config, str(tmp_path), epochs=1, learning_rate=2e-3, evaluate=False, device="cpu")
    trainer = LabelWarmupTrainer(made, arguments, config=config, pairs=table)
    batch = next(iter(trainer.get_train_dataloader()))
    texts = int(max(batch["left"].max(), batch["right"].max())) + 1
    near = 1 + 0.02 * torch.randn(texts, 16, generator=torch.Generator().manual_seed(0))
    near.requires_grad_()
    trainer.terms(lambda _: SimpleNamespace(vectors=normalize(near)), batch).weighted["infonce"].backward()
    before, after = (normalize(vectors.detach()) for vectors in (near, near - 0.5 * near.grad / near.grad.norm()))
    assert 1 - (after @ after.T).mean() > 1.2 * (1 - (before @ before.T).mean())


def test_a_b_that_matches_the_same_a_is_not_held_against_it(tmp_path):
    table = PairTable(
        text_a=["one", "one", "two"],
        text_b=["a one", "an one", "a two"],
        label=np.array([1, 1, 0]),
        source="",
        line=[1, 2, 3],
        extra={},
    )
    made, config = student(), FlipConfig(batch_pairs=3, mcl_temperature=1.0)
    arguments = training_arguments(config, str(tmp_path), epochs=1, learning_rate=2e-3, evaluate=False, device="cpu")
    trainer = LabelWarmupTrainer(made, arguments, config=config, pairs=table)
    batch = next(iter(trainer.get_train_dataloader()))
    vectors = torch.eye(6)[:5]
    loss = trainer.terms(lambda _: SimpleNamespace(vectors=vectors), batch).weighted["infonce"]
    assert float(loss) == pytest.approx(np.log(2)), "each of the two has the b of the third alone against it"


def test_the_signal_is_the_labels_and_nothing_else():
    table = pairs(6)
    signal = label_signal(table)
    assert signal.vectors is None
    assert np.array_equal(signal.pair_similarity, 2 * table.label - 1)
