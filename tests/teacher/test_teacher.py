import os

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from flipkd.errors import FlipkdError
from flipkd.teacher.teacher import Teacher

TEXTS = ["how do i reset my pin", "what is the cost", "how do i reset my pin", "lost card"]


@pytest.fixture
def teacher(bi, cache):
    return Teacher.load(str(bi), device="cpu", cache_dir=cache)


def count_calls(monkeypatch, teacher, method):
    """The texts or pairs the model is asked for, call by call."""
    calls = []
    true = getattr(teacher.model, method)

    def counted(inputs, **kwargs):
        calls.append(list(inputs))
        return true(inputs, **kwargs)

    monkeypatch.setattr(teacher.model, method, counted)
    return calls


def test_vectors_are_the_model_s_in_the_order_asked_at_length_one(teacher, bi):
    found = teacher.vectors(TEXTS)
    expected = SentenceTransformer(str(bi), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_each_distinct_text_is_encoded_once(teacher, monkeypatch):
    calls = count_calls(monkeypatch, teacher, "encode")
    teacher.vectors(TEXTS * 50)
    assert sorted(text for call in calls for text in call) == sorted(set(TEXTS))


def test_the_same_texts_in_another_order_are_read_from_the_cache(teacher, bi, cache, monkeypatch):
    first = teacher.vectors(TEXTS)
    os.utime(bi / "model.safetensors", (1, 1))
    again = Teacher.load(str(bi), device="cpu", cache_dir=cache)
    calls = count_calls(monkeypatch, again, "encode")
    np.testing.assert_array_equal(again.vectors(TEXTS[::-1]), first[::-1])
    again.similarity(TEXTS[:2], TEXTS[2:])
    assert calls == []


def test_one_more_text_or_another_teacher_is_computed(teacher, make_bi, cache, monkeypatch):
    teacher.vectors(TEXTS)
    calls = count_calls(monkeypatch, teacher, "encode")
    teacher.vectors([*TEXTS, "new"])
    assert calls
    other = Teacher.load(str(make_bi("other", seed=1)), device="cpu", cache_dir=cache)
    calls = count_calls(monkeypatch, other, "encode")
    assert np.abs(other.vectors(TEXTS) - teacher.vectors(TEXTS)).max() > 0.01
    assert calls


def test_another_length_limit_is_another_teacher(make_bi):
    short, long = (
        Teacher.load(str(make_bi(f"m{n}", max_tokens=n)), device="cpu", cache=False).revision for n in (8, 16)
    )
    assert short != long


def test_similarity_of_a_bi_encoder_is_the_cosine(teacher):
    vectors = teacher.vectors(TEXTS)
    found = teacher.similarity(TEXTS, TEXTS[::-1])
    np.testing.assert_allclose(found, (vectors * vectors[::-1]).sum(1), atol=1e-6)
    assert found.dtype == np.float32
    assert np.abs(teacher.similarity(TEXTS, TEXTS)).max() <= 1


def test_nothing_in_gives_nothing_out(teacher):
    assert teacher.vectors([]).shape == (0, 16)
    assert teacher.similarity([], []).shape == (0,)


def test_without_cache_nothing_is_written_or_said(bi, cache, said):
    teacher = Teacher.load(str(bi), device="cpu", cache_dir=cache, cache=False)
    before = len(said)
    teacher.vectors(TEXTS)
    assert not cache.exists()
    assert len(said) == before


def test_long_texts_are_told(teacher, said):
    teacher.vectors(["short", "how do i reset my pin card account open close money send fee refund"])
    assert any("1 of 2 texts are longer than the 12 tokens" in line for line in said)


def test_texts_that_fit_are_not_told(teacher, said):
    teacher.vectors(["how do i reset my pin"])
    assert not any("longer" in line for line in said)


def test_a_broken_teacher_is_told_with_a_text(teacher):
    with torch.no_grad():
        next(teacher.model.parameters()).fill_(float("nan"))
    with pytest.raises(FlipkdError, match=r"no usable vector .* for 3 of 3 texts"):
        teacher.vectors(TEXTS)


def test_a_cross_encoder_gives_2p_minus_1_each_ordered_pair_once(cross, cache, monkeypatch):
    teacher = Teacher.load(str(cross), device="cpu", cache_dir=cache)
    calls = count_calls(monkeypatch, teacher, "predict")
    a, b = [*TEXTS, TEXTS[0]], [*TEXTS[::-1], TEXTS[3]]
    found = teacher.similarity(a, b)
    probability = CrossEncoder(str(cross), device="cpu").predict(list(zip(a, b, strict=True)))
    np.testing.assert_allclose(found, 2 * probability - 1, atol=1e-5)
    assert np.ptp(found) > 1e-4
    asked = [pair for call in calls for pair in call]
    assert sorted(asked) == sorted(set(zip(a, b, strict=True)))
    calls.clear()
    np.testing.assert_array_equal(teacher.similarity(a, b), found)
    assert calls == []


def test_a_cross_encoder_whose_own_activation_gives_logits_is_read_alike(cross, tmp_path):
    emits_logits = tmp_path / "logits"
    CrossEncoder(str(cross), device="cpu", activation_fn=torch.nn.Identity()).save_pretrained(
        str(emits_logits), create_model_card=False
    )
    one, other = (Teacher.load(str(folder), device="cpu", cache=False) for folder in (cross, emits_logits))
    np.testing.assert_array_equal(one.similarity(TEXTS, TEXTS[::-1]), other.similarity(TEXTS, TEXTS[::-1]))


def test_a_cross_encoder_has_no_vectors(cross, cache):
    teacher = Teacher.load(str(cross), device="cpu", cache_dir=cache)
    assert teacher.kind == "cross"
    with pytest.raises(FlipkdError, match="cross-encoder"):
        teacher.vectors(TEXTS)


def test_a_saved_copy_has_the_same_revision_and_vectors(teacher, bi, tmp_path):
    (bi / "LICENSE").write_text("as is")
    (bi / "training_args.bin").write_bytes(b"pickle")
    teacher.save(tmp_path / "copy")
    copy = Teacher.load(str(tmp_path / "copy"), device="cpu", cache=False)
    assert copy.revision == teacher.revision
    np.testing.assert_allclose(copy.vectors(TEXTS), teacher.vectors(TEXTS), atol=1e-6)
    assert (tmp_path / "copy" / "LICENSE").is_file()
    assert not (tmp_path / "copy" / "training_args.bin").exists()
