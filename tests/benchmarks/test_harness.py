"""The harness: ratios turn by turn, counted work, and results merged by name. No model is run."""

import json

import pytest
import torch

from benchmarks.harness import Side, compare, count
from benchmarks.result import make_result, write


def side(name, seconds):
    turns = iter(seconds)
    return Side(name, lambda: next(turns))


def test_the_ratio_is_taken_turn_by_turn_after_a_warm_up():
    # Medians of the seconds alone would give 4 / 2; turn by turn it is the median of 3, 1 and 4.
    found = compare(
        "toy", side("ours", [9, 1, 4, 2]), side("peer", [9, 3, 4, 8]), repetitions=3, work=6, unit="pairs", target=2.5
    )
    assert (found.ratio, found.low, found.high) == (3.0, 1.0, 4.0)
    assert found.met
    assert found.detail["ours_shown"] == "3.0 pairs/s"


def test_flops_of_a_product_and_of_attention_on_a_cpu_are_counted():
    query = torch.ones(1, 2, 8, 4)

    def work():
        torch.ones(3, 5) @ torch.ones(5, 7)
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
        return 0.0

    # Scores and their product with the values: 2 x 2 heads x 8 x 8 x 4 each.
    assert count(Side("toy", work)).flops == 2 * 3 * 5 * 7 + 2 * (2 * 2 * 8 * 8 * 4)


def test_tokens_and_padding_are_counted_where_they_enter():
    embedding = torch.nn.Embedding(4, 2)

    def work():
        embedding(torch.tensor([[1, 2, 3], [1, 0, 0]]))
        return 0.0

    counted = count(Side("toy", work, embedding, pad_id=0))
    assert (counted.tokens, counted.padding) == (6, 2)


@pytest.mark.parametrize(("ratio", "word"), [(0.9, "**no**"), (1.1, "yes")])
def test_a_claim_that_is_run_again_replaces_its_row_and_losses_are_shown(tmp_path, ratio, word):
    write([make_result("a", (0.5, 0.4, 0.6), 1.0, {}), make_result("b", (2, 2, 2), 1.0, {})], tmp_path)
    write([make_result("a", (ratio, 0.4, 1.6), 1.0, {})], tmp_path)
    rows = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [(row["name"], row["ratio"]) for row in rows] == [("a", ratio), ("b", 2)]
    assert {"low", "high", "target", "device", "versions"} <= rows[0].keys()
    (line,) = [line for line in (tmp_path / "benchmarks.md").read_text().splitlines() if line.startswith("| a |")]
    assert word in line
