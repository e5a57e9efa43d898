"""A saved artefact in use, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from flipkd import FlipkdError, Matcher
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import Band
from flipkd.matching.vectors import VectorCache
from flipkd.student.inference import Reader
from tiny import base_model, save_student, texts


def answer_by(*sources):
    """An answer that is sure on either side of a similarity of 0.5."""
    weights = {"decoder": 0.5, "encoder": 4.0, "teacher": 1.0}
    return Answer(sources, tuple(weights[source] for source in sources), -2.0, 0.5, "by hand").as_dict()


def with_spec(matcher, teacher=None, **fields):
    return Matcher(matcher.student, matcher.spec.model_copy(update=fields), teacher)


@pytest.fixture(scope="module")
def matcher(artefact):
    """The tiny run with an answer of decoder and encoder in one order, whatever its few pairs would have chosen."""
    loaded = Matcher.from_pretrained(artefact, device="cpu")
    return with_spec(loaded, answer=answer_by("decoder", "encoder"), cascade=None, symmetric=False)


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


@pytest.fixture
def asked(monkeypatch):
    """What the student is asked for: pairs of the decoder, texts of the encoder."""
    found = {"pairs": [], "texts": []}
    log_odds, vectors = Reader.log_odds, Reader.vectors

    def spy_pairs(self, pairs):
        found["pairs"] += zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)
        return log_odds(self, pairs)

    def spy_texts(self, ids):
        found["texts"] += ids
        return vectors(self, ids)

    monkeypatch.setattr(Reader, "log_odds", spy_pairs)
    monkeypatch.setattr(Reader, "vectors", spy_texts)
    monkeypatch.setattr(Reader, "signals", lambda *_: pytest.fail("the decoder was asked for every pair"))
    return found


def columns(pairs):
    return [a for a, _ in pairs], [b for _, b in pairs]


def test_an_answer_of_the_encoder_alone_never_runs_the_decoder(matcher, asked):
    alone = with_spec(matcher, answer=answer_by("encoder"))
    found = alone.match_arrays(*columns([*PAIRS, PAIRS[0]]))
    assert np.isnan(found.logit).all()
    assert found.skipped == len(PAIRS) + 1
    assert asked["pairs"] == []
    assert len(asked["texts"]) == len({text for pair in PAIRS for text in pair})
    expected = 1 / (1 + np.exp(2.0 - 4.0 * found.similarity))
    np.testing.assert_allclose(found.probability, expected)
    np.testing.assert_array_equal(found.match, found.probability >= 0.5)


def test_the_encoder_alone_gives_the_similarity_of_the_pair_pass(matcher):
    alone = with_spec(matcher, answer=answer_by("encoder"))
    whole, vectors = (each.match_arrays(*columns(PAIRS)) for each in (matcher, alone))
    np.testing.assert_allclose(vectors.similarity, whole.similarity, atol=1e-5)
    assert whole.skipped == 0


def test_vectors_of_earlier_chunks_are_not_computed_again(matcher, asked):
    alone, known = with_spec(matcher, answer=answer_by("encoder")), VectorCache()
    first = alone.match_arrays(*columns(PAIRS[:5]), known=known)
    both = alone.match_arrays(*columns(PAIRS), known=known)
    assert len(asked["texts"]) == len({text for pair in PAIRS for text in pair})
    np.testing.assert_array_equal(first.similarity, both.similarity[:5])


def banded(matcher, keep, teacher=None, **fields):
    """The matcher with a band that asks the decoder for `keep` of PAIRS' similarities in the middle."""
    similarity = np.sort(matcher.match_arrays(*columns(PAIRS)).similarity)
    skipped = (len(similarity) - keep) // 2
    edges = (similarity[:-1] + similarity[1:]) / 2
    encoder = Answer(("encoder",), (3.0,), -1.5, 0.5, "by hand")
    band = Band(edges[skipped - 1], edges[skipped - 1 + keep], encoder, 0.5, 0.0, 0.0, 100, "by hand")
    return with_spec(matcher, teacher, cascade=band.as_dict(), **fields)


def test_the_cascade_asks_the_decoder_in_the_band_alone(matcher, request):
    cascade = banded(matcher, 3)
    whole = matcher.match_arrays(*columns(PAIRS))
    asked = request.getfixturevalue("asked")
    found = cascade.match_arrays(*columns(PAIRS), cascade=True)
    inside = cascade.band.asks(whole.similarity)
    assert inside.sum() == 3
    np.testing.assert_array_equal(~np.isnan(found.logit), inside)
    assert len(asked["pairs"]) == 3
    assert found.skipped == len(PAIRS) - 3
    np.testing.assert_allclose(found.logit[inside], whole.logit[inside], atol=1e-4)
    np.testing.assert_allclose(found.probability[inside], whole.probability[inside], atol=1e-4)
    encoder = 1 / (1 + np.exp(1.5 - 3.0 * whole.similarity))
    np.testing.assert_allclose(found.probability[~inside], encoder[~inside], atol=1e-5)
    np.testing.assert_array_equal(found.match, found.probability >= 0.5)


def test_the_cascade_averages_both_orders_where_the_artefact_does(matcher):
    cascade = banded(matcher, 3, symmetric=True)
    both, some = (cascade.match_arrays(*columns(PAIRS), cascade=each) for each in (False, True))
    inside = ~np.isnan(some.logit)
    np.testing.assert_allclose(some.logit[inside], both.logit[inside], atol=1e-4)
    assert np.abs(both.logit - matcher.match_arrays(*columns(PAIRS)).logit).max() > 1e-3


def test_the_cascade_asks_the_kept_teacher_in_the_band_alone(matcher):
    class Kept:
        def similarity(self, text_a, text_b):
            seen.append(list(zip(text_a, text_b, strict=True)))
            return np.full(len(text_a), 0.25, dtype=np.float32)

    seen = []
    cascade = banded(matcher, 3, Kept(), answer=answer_by("decoder", "encoder", "teacher"))
    whole = cascade.match_many(PAIRS)
    found = cascade.match_many(PAIRS, cascade=True)
    inside = [row for row, result in enumerate(found) if not np.isnan(result.logit)]
    assert seen == [PAIRS, [PAIRS[row] for row in inside]]
    for row in inside:
        assert found[row].probability == pytest.approx(whole[row].probability, abs=1e-4)


def test_an_empty_band_asks_the_decoder_for_nothing(matcher, request):
    cascade = banded(matcher, 3)
    cascade.band = replace(cascade.band, low=0.5, high=0.5)
    asked = request.getfixturevalue("asked")
    assert cascade.match_arrays(*columns(PAIRS), cascade=True).skipped == len(PAIRS)
    assert asked["pairs"] == []


def test_a_cascade_without_a_band_is_refused(matcher):
    with pytest.raises(FlipkdError, match="no band"):
        matcher.match_many(PAIRS, cascade=True)
    alone = with_spec(matcher, answer=answer_by("encoder"))
    with pytest.raises(FlipkdError, match="never asks the decoder"):
        alone.match_many(PAIRS, cascade=True)


def test_the_band_comes_back_from_the_file(copied, matcher):
    band = banded(matcher, 3).band
    edit(copied, cascade=band.as_dict())
    assert Matcher.from_pretrained(copied, device="cpu").band == band


def test_an_artefact_older_than_the_cascade_loads(copied):
    fields = json.loads((copied / "flipkd.json").read_text())
    del fields["cascade"]
    (copied / "flipkd.json").write_text(json.dumps(fields))
    assert Matcher.from_pretrained(copied, device="cpu").band is None


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
    from flipkd.student.inference import EncodedPairs

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


def test_a_tilde_is_the_home_folder(copied, monkeypatch):
    monkeypatch.setenv("HOME", str(copied.parent))
    assert Matcher.from_pretrained(f"~/{copied.name}", device="cpu").spec.seed == 0


def test_another_schema_version_is_refused(copied):
    edit(copied, schema_version=3)
    with pytest.raises(FlipkdError, match="schema_version"):
        Matcher.from_pretrained(copied, device="cpu")


def test_another_base_model_is_refused(copied, tmp_path):
    model, words = base_model(seed=7)
    model.save_pretrained(tmp_path / "other")
    words.save_pretrained(tmp_path / "other")
    edit(copied, base_model=str(tmp_path / "other"))
    with pytest.raises(FlipkdError, match="not the base model"):
        Matcher.from_pretrained(copied, device="cpu")


def test_a_base_model_that_is_gone_is_said_with_where_it_is_named(copied, tmp_path):
    edit(copied, base_model=str(tmp_path / "gone"))
    with pytest.raises(FlipkdError, match=rf"{copied}/flipkd.json names it.* as base_model"):
        Matcher.from_pretrained(copied, device="cpu")


def test_the_same_base_elsewhere_is_taken(copied, tmp_path, matcher):
    edit(copied, base_model=save_student(tmp_path / "same"))
    moved = with_spec(Matcher.from_pretrained(copied, device="cpu"), answer=matcher.spec.answer, symmetric=False)
    assert moved.match(*PAIRS[0]).logit == pytest.approx(matcher.match(*PAIRS[0]).logit, abs=1e-4)


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
