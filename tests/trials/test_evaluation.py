"""docs/trials.md, evaluation: section 3e of the faults that other tools' users met."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel

from flipkd import FlipkdError, Matcher
from flipkd.data.reader import read_pairs
from flipkd.distill.run import distill
from flipkd.student.inference import EncodedPairs, Reader
from tiny import pairs, student


def test_every_test_pair_is_found_with_what_each_model_said_and_how_it_was_decided(artefact, files):
    """Row 51."""
    rows = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pydict()
    given = read_pairs(files["test"])
    assert (rows["text_a"], rows["text_b"], rows["label"]) == (given.text_a, given.text_b, given.label.tolist())
    said = {"flipped_answer_probability", "log_odds", "similarity", "teacher", "zero_shot", "fine_tuned"}
    assert said <= rows.keys()
    assert all(np.isfinite(rows[name]).all() for name in said)
    kind = {(True, 1): "tp", (True, 0): "fp", (False, 0): "tn", (False, 1): "fn"}
    assert rows["kind"] == [kind[cell] for cell in zip(rows["match"], rows["label"], strict=True)]


def read(made, **options):
    table = pairs(24, seed=3)
    return Reader(made, **options).signals(EncodedPairs.of(made, table.text_a, table.text_b))


def largest(found, other):
    return max(np.abs(found.log_odds - other.log_odds).max(), np.abs(found.similarity - other.similarity).max())


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_the_batch_size_moves_nothing_in_float32(architecture):
    """Row 52: 1e-4 on a sharp toy, where a missing mask moves log-odds by whole units."""
    made = student(architecture, trained=True)
    assert max(largest(read(made, batch_tokens=size), read(made)) for size in (1, 50, 300, 10_000)) < 1e-4


def test_the_batch_size_moves_little_in_bfloat16():
    """Row 52: the tolerance that the self-check states."""
    from flipkd.distill.selfcheck import TOLERANCE

    made = student(trained=True)
    exact = read(made)
    made.model.get_base_model().to(torch.bfloat16)
    assert max(largest(read(made, batch_tokens=size), read(made)) for size in (1, 50, 300)) < TOLERANCE["bfloat16"]
    assert largest(read(made), exact) < TOLERANCE["bfloat16"]


def test_a_student_left_in_training_mode_answers_as_it_should():
    """Row 52: GPT-2 has dropout of its own."""
    made = student("gpt2", trained=True).eval()
    expected = read(made)
    assert largest(read(made.train()), expected) == 0
    assert made.training


def test_the_artefact_answers_on_test_as_the_run_that_wrote_it(artefact):
    """Row 53."""
    rows = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pydict()
    found = Matcher.from_pretrained(artefact, device="cpu").match_arrays(rows["text_a"], rows["text_b"])
    np.testing.assert_allclose(found.probability, rows["flipped_answer_probability"], atol=1e-4)
    assert found.match.tolist() == rows["match"]


@pytest.mark.parametrize(
    ("part", "check"), [("lora_B", "log-odds after reload"), ("lora_A", "similarities after reload")]
)
def test_an_adapter_that_was_saved_wrong_is_found_out_and_not_written(part, check, settings, tmp_path):
    """Row 53: the run reads its folder back and compares, the encoder as well as the decoder."""
    original = PeftModel.save_pretrained

    def save(self, folder, **options):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if part in name:
                    parameter.copy_(parameter + 0.1 * torch.randn_like(parameter))
        return original(self, folder, **options)

    made = settings(tmp_path / "run", baseline=False, warmup_epochs=0, epochs=1, fine_tune_teacher=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PeftModel, "save_pretrained", save)
        patch.setattr("flipkd.distill.write.find_spec", lambda _: None)  # pictures take time
        with pytest.raises(FlipkdError, match=rf"failed its self-check .*{check}"):
            distill(made)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.work"]
