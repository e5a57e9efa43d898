"""Several artefacts over one base model, by name."""

import shutil

import numpy as np
import pytest

from flipkd import FlipkdError
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import Band
from flipkd.matching.artefact import artefact_hash
from flipkd.matching.matcher import Matcher
from flipkd.serving.config import ServeConfig
from flipkd.serving.models import choose, load_served
from serving.conftest import edited
from tiny import texts

PAIRS = list(zip(texts(6, 3), texts(6, 4), strict=True))


def logits(matcher):
    return [found.logit for found in matcher.match_many(PAIRS)]


def test_each_answers_as_if_it_were_loaded_alone(served, folders):
    found = {name: logits(one.matcher) for name, one in served.items()}
    for name, folder in folders.items():
        np.testing.assert_allclose(found[name], logits(Matcher.from_pretrained(folder, device="cpu")), atol=1e-6)
    assert np.abs(np.subtract(found["cards"], found["loans"])).max() > 1e-3


def test_an_empty_name_means_the_first_and_an_unknown_one_none(served):
    assert choose(served, "") is choose(served, None) is next(iter(served.values()))
    assert choose(served, "nobody") is None


def test_they_share_all_weights_below_the_adapter(served):
    weights = [dict(one.matcher.student.model.get_base_model().named_parameters()) for one in served.values()]
    shared = {name for name in weights[0] if weights[0][name].data_ptr() == weights[1][name].data_ptr()}
    below = {name for name in weights[0] if not any(f"layers.{layer}." in name for layer in (2, 3))}
    assert below <= shared
    adapted = {name for name in weights[0] if name.endswith("base_layer.weight")}
    assert adapted
    assert not adapted & shared


def test_int8_artefacts_share_a_base_too(folders):
    config = ServeConfig(model=folders["cards"], models={"loans": folders["loans"]}, device="cpu", int8=True)
    for name, one in load_served(config).items():
        alone = Matcher.from_pretrained(folders[name], device="cpu", int8=True)
        np.testing.assert_allclose(logits(one.matcher), logits(alone), atol=1e-5)


def test_a_kept_teacher_serves_along(artefact, models, make_client, tmp_path):
    folder = edited(artefact, tmp_path / "kept", "decoder", "encoder", "teacher", teacher=models["teacher"])
    served = load_served(ServeConfig(model=folder, device="cpu"))
    expected = [one.probability for one in Matcher.from_pretrained(folder, device="cpu").match_many(PAIRS)]
    with make_client(served) as client:
        (card,) = client.get("/v1/models").json()["data"]
        found = client.post("/match", json={"pairs": PAIRS}).json()["data"]
    assert card["teacher"] == served["kept"].matcher.spec.teacher.name
    np.testing.assert_allclose([row["probability"] for row in found], expected, atol=1e-5)


def test_a_policy_and_a_prior_decide_all_that_is_served(artefact, make_client):
    asked = {"policy": "bands=0.4:0.4", "prior": 0.3}
    alone = Matcher.from_pretrained(artefact, device="cpu", **asked).match_many(PAIRS)
    served = load_served(ServeConfig(model=str(artefact), models={"same": str(artefact)}, device="cpu", **asked))
    plain = Matcher.from_pretrained(artefact, device="cpu").match_many(PAIRS)
    for name in served:
        with make_client(served) as client:
            assert client.get(f"/v1/models/{name}").json()["policy"] == "bands=0.4:0.4"
            found = client.post("/match", json={"pairs": PAIRS, "model": name}).json()["data"]
            sides = {"text_1": [a for a, _ in PAIRS], "text_2": [b for _, b in PAIRS], "model": name}
            scores = [row["score"] for row in client.post("/score", json=sides).json()["data"]]
        assert [row["decision"] for row in found] == [one.decision for one in alone]
        np.testing.assert_allclose(scores, [one.probability for one in alone], atol=1e-5)
        assert np.abs(np.subtract(scores, [one.probability for one in plain])).min() > 1e-3


def test_a_policy_that_cannot_be_kept_names_the_artefact(folders):
    config = ServeConfig(model=folders["cards"], device="cpu", policy="precision=high")
    with pytest.raises(FlipkdError, match="Artefact cards: There is no threshold policy 'precision=high'"):
        load_served(config)


def test_what_was_not_asked_is_null(artefact, make_client, tmp_path):
    folder = edited(artefact, tmp_path / "alone", "encoder")
    with make_client(load_served(ServeConfig(model=folder, device="cpu"))) as client:
        (row,) = client.post("/match", json={"pairs": PAIRS[:1]}).json()["data"]
    assert row["logit"] is None
    assert -1 <= row["similarity"] <= 1


def test_the_hash_changes_with_adapter_and_settings(served, folders, artefact, tmp_path):
    assert served["cards"].hash != served["loans"].hash
    assert artefact_hash(artefact) != served["cards"].hash
    shutil.copytree(folders["cards"], tmp_path / "copy")
    assert artefact_hash(tmp_path / "copy") == served["cards"].hash


def test_an_artefact_without_a_band_is_refused_for_the_cascade(folders):
    with pytest.raises(FlipkdError, match="no band"):
        load_served(ServeConfig(model=folders["cards"], device="cpu", cascade=True))


def counted_of(one, rows):
    texts = list(dict.fromkeys(text for row in rows for text in row))
    return one.count(rows, dict(zip(texts, one.lengths(texts), strict=True)))


def test_tokens_are_those_of_the_prompt_and_cut_as_in_training(served):
    one = served["cards"]
    template, tokenizer = one.matcher.student.template, one.matcher.student.tokenizer
    pairs = [*PAIRS, ("card " * 200, PAIRS[0][0])]
    ids = [template.encode_texts(tokenizer, pair) for pair in pairs]
    counted = counted_of(one, pairs)
    assert counted.tokens == [len(template.pair(a, b)) for a, b in ids]
    assert (counted.cut, counted.empty) == (1, None)
    assert counted_of(one, [("reset",), ("",)]).empty == 1


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name):
    with pytest.raises(FlipkdError, match="cannot be the name"):
        ServeConfig(models={name: "x"}).folders()


def test_a_search_is_verified_by_the_cascade_where_that_is_on(served, make_client, monkeypatch):
    one = served["cards"]
    encoder = Answer(("encoder",), (2.0,), -1.0, 0.5, "by hand")
    monkeypatch.setattr(one.matcher, "band", Band(0.0, 0.0, encoder, 1.0, 0.0, 0.0, 1, "nobody asks the decoder"))
    rows = [(*PAIRS[0], 0.25), (*PAIRS[0], -0.5)]
    with_it, without = (one.compute("verify", rows, batch_tokens=64, cascade=on) for on in (True, False))
    assert [found.similarity for found in (*with_it, *without)] == [0.25, -0.5] * 2
    with make_client(cascade=True) as on, make_client(cascade=False) as off:
        asked = [client.post("/match", json={"pairs": PAIRS[:1]}).json() for client in (on, off)]
    assert [found["data"][0]["logit"] is None for found in asked] == [True, False]
    assert all(np.isnan(found.logit) for found in with_it)
    assert not any(np.isnan(found.logit) for found in without)
