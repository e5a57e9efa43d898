"""A saved artefact in use, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from flipkd import FlipkdError, Matcher
from tiny import base_model, save_student, texts


@pytest.fixture(scope="module")
def matcher(artefact):
    return Matcher.from_pretrained(artefact, device="cpu")


PAIRS = list(zip(texts(9, seed=5), texts(9, seed=6), strict=True))


def test_one_pair_is_answered_as_among_many(matcher):
    many = matcher.match_many(PAIRS)
    for pair, result in zip(PAIRS, many, strict=True):
        one = matcher.match(*pair)
        assert one.probability == pytest.approx(result.probability, abs=1e-5)
        assert one.similarity == pytest.approx(result.similarity, abs=1e-5)
        assert one.logit == pytest.approx(result.logit, abs=1e-4)


def test_order_and_duplicates_stay(matcher):
    order = [4, 0, 4, 8, 1, 0]
    found = matcher.match_many([PAIRS[i] for i in order])
    plain = matcher.match_many(PAIRS)
    np.testing.assert_allclose([r.logit for r in found], [plain[i].logit for i in order], atol=1e-4)
    assert found[0] == found[2]


def test_a_match_is_a_probability_at_the_stored_threshold(matcher):
    for result in matcher.match_many(PAIRS):
        assert 0 <= result.probability <= 1
        assert result.match == (result.probability >= matcher.answer.threshold)


def test_the_similarity_is_the_cosine_of_the_vectors(matcher):
    a, b = matcher.encode([pair[0] for pair in PAIRS]), matcher.encode([pair[1] for pair in PAIRS])
    similarity = [result.similarity for result in matcher.match_many(PAIRS)]
    np.testing.assert_allclose((a * b).sum(axis=1), similarity, atol=1e-5)


def test_vectors_keep_order_and_have_norm_one(matcher):
    found = matcher.encode(["reset my pin", "open account", "reset my pin"])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert found.dtype == np.float32


def test_nothing_asked_nothing_answered(matcher):
    assert matcher.match_many([]) == []
    assert matcher.encode([]).shape == (0, matcher.student.width)


def test_an_empty_text_is_refused(matcher):
    with pytest.raises(FlipkdError, match="empty"):
        matcher.match("", "reset my pin")


def test_peft_loads_the_folder_as_it_is(artefact, matcher):
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(artefact).eval()
    template, words = matcher.student.template, matcher.student.tokenizer
    a, b = template.encode_texts(words, list(PAIRS[0]))
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([template.pair(a, b)])).logits[0, -1]
    no, yes = template.label_ids
    single = matcher.student
    from flipkd.student.inference import EncodedPairs, Reader

    expected = Reader(single).log_odds(EncodedPairs.of(single, [PAIRS[0][0]], [PAIRS[0][1]]))[0]
    assert float(logits[yes] - logits[no]) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def copied(artefact, tmp_path):
    shutil.copytree(artefact, tmp_path / "run")
    return tmp_path / "run"


def edit(folder, **fields):
    file = folder / "flipkd.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FlipkdError, match="no flipkd artefact"):
        Matcher.from_pretrained(tmp_path, device="cpu")


def test_another_schema_version_is_refused(copied):
    edit(copied, schema_version=2)
    with pytest.raises(FlipkdError, match="schema_version"):
        Matcher.from_pretrained(copied, device="cpu")


def test_another_base_model_is_refused(copied, tmp_path):
    model, words = base_model(seed=7)
    model.save_pretrained(tmp_path / "other")
    words.save_pretrained(tmp_path / "other")
    edit(copied, base_model=str(tmp_path / "other"))
    with pytest.raises(FlipkdError, match="not the base model"):
        Matcher.from_pretrained(copied, device="cpu")


def test_the_same_base_elsewhere_is_taken(copied, tmp_path, matcher):
    edit(copied, base_model=save_student(tmp_path / "same"))
    moved = Matcher.from_pretrained(copied, device="cpu")
    assert moved.match(*PAIRS[0]).logit == pytest.approx(matcher.match(*PAIRS[0]).logit, abs=1e-4)


def test_an_edited_template_is_refused(copied):
    template = json.loads((copied / "flipkd.json").read_text())["template"]
    edit(copied, template=template | {"prompt": template["prompt"].replace("same", "alike")})
    with pytest.raises(FlipkdError, match="edited"):
        Matcher.from_pretrained(copied, device="cpu")


def test_adapter_weights_that_do_not_fit_are_refused(copied):
    from safetensors.torch import load_file, save_file

    file = copied / "adapter_model.safetensors"
    save_file({name: value[:1] for name, value in load_file(file).items()}, file)
    with pytest.raises(FlipkdError, match="does not fit"):
        Matcher.from_pretrained(copied, device="cpu")


def test_an_adapter_whose_names_load_nowhere_is_refused(copied):
    from safetensors.torch import load_file, save_file

    file = copied / "adapter_model.safetensors"
    save_file({name.replace("layers", "blocks"): value for name, value in load_file(file).items()}, file)
    with pytest.raises(FlipkdError, match=r"loaded nothing|does not fit"):
        Matcher.from_pretrained(copied, device="cpu")
