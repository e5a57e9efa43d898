from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from flipkd.errors import FlipkdError
from flipkd.teacher import characters
from flipkd.teacher.characters import CharacterConfig, character_tokenizer, make_character_encoder
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.training import TeacherConfig, fit_teacher

ASK = ["怎么", "如何", "在哪里", "什么时候", "为什么不能"]
DO = ["开通", "关闭", "查询", "修改", "申请"]
WHAT = ["花呗", "信用卡", "密码", "账户", "还款日", "额度"]
TEXTS = [f"{ask}{do}{what}" for ask in ASK for do in DO for what in WHAT]
CONFIG = CharacterConfig(layers=1, width=32, heads=2, max_tokens=16, epochs=1, batch_size=16)


@pytest.fixture
def make(tmp_path):
    def run(name="encoder", *, texts=TEXTS, seed=0, **changes):
        make_character_encoder(texts, tmp_path / name, seed=seed, config=replace(CONFIG, **changes), device="cpu")
        return tmp_path / name

    return run


@pytest.fixture
def load(cache):
    return lambda folder: Teacher.load(str(folder), device="cpu", cache_dir=cache)


def tokens(text, texts=("花呗 app1 怎么样", "花呗 app1 怎么样")):
    return character_tokenizer(texts, min_count=2, max_tokens=16).tokenize(text)


def test_each_character_is_a_token():
    assert tokens("花呗app怎么 样1") == ["花", "呗", "a", "p", "p", "怎", "么", "样", "1"]


def test_wide_and_upper_case_letters_are_the_plain_ones():
    assert tokens("ＡＰＰ①") == ["a", "p", "p", "1"]


def test_an_unknown_character_is_one_unknown_token():
    assert tokens("花㐂呗𠮷") == ["花", "[UNK]", "呗", "[UNK]"]


def test_a_rare_character_is_unknown():
    assert tokens("甲乙", texts=["甲", "甲乙"]) == ["甲", "[UNK]"]


def test_the_saved_folder_is_a_teacher_of_unit_vectors(make, load):
    teacher = load(make())
    assert teacher.kind == "bi"
    vectors = teacher.vectors(["怎么开通花呗", "如何开通花呗", "㐂", "长" * 100])
    assert vectors.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [type(module).__name__ for module in teacher.model] == ["Transformer", "Pooling", "Normalize"]


def test_the_saved_tokenizer_still_reads_characters(make, load):
    assert load(make()).model.tokenizer.tokenize("ＶIP怎么开通") == ["[UNK]"] * 3 + ["怎", "么", "开", "通"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make):
    torch.rand(3)  # whatever state the process is in
    one, same, other = (
        load_file(make(name, seed=seed) / "model.safetensors") for name, seed in zip("abc", (0, 0, 1), strict=True)
    )
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["embeddings.word_embeddings.weight"], other["embeddings.word_embeddings.weight"])


def test_a_second_call_finds_the_folder(make, monkeypatch, said):
    folder = make()
    monkeypatch.setattr(characters, "_new_encoder", lambda *_: pytest.fail("trained again"))
    assert make() == folder
    assert "kept" in said[-1]


@pytest.mark.parametrize("change", [{"seed": 1}, {"texts": TEXTS[1:]}, {"width": 16}])
def test_a_folder_of_another_call_is_refused(make, change):
    make()
    with pytest.raises(FlipkdError, match="something else"):
        make(**change)


def test_an_interrupted_call_leaves_nothing(make, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(characters, "_pretrain", stop)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing_and_the_next_call_ends_it(make, tmp_path, monkeypatch, load):
    from sentence_transformers import SentenceTransformer

    write = SentenceTransformer.save_pretrained

    def broken(self, folder, **options):
        write(self, folder, **options)
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformer, "save_pretrained", broken)
        with pytest.raises(OSError, match="disk full"):
            make()
    assert list(tmp_path.iterdir()) == []
    assert load(make()).vectors(TEXTS[:2]).shape == (2, 32)


def margin(teacher):
    """How much more alike a text and its copy without a character are than two texts that follow each other."""
    near = teacher.similarity(TEXTS, [text[:2] + text[3:] for text in TEXTS])
    return np.mean(near) - np.mean(teacher.similarity(TEXTS[1:], TEXTS[:-1]))


def test_pretraining_brings_copies_together_and_other_texts_apart(make, load):
    few, many = load(make("few")), load(make("many", epochs=8))
    assert margin(many) > margin(few) + 0.05


def test_copies_lack_their_share_and_are_never_empty():
    rng = np.random.default_rng(0)
    copies = characters._copies(["长" * 100, "好"], 50, 0.2, rng)
    assert copies[1::2] == ["好"] * 50
    assert 75 < np.mean([len(copy) for copy in copies[::2]]) < 85


def test_too_few_texts_are_refused(make):
    with pytest.raises(FlipkdError, match="2 distinct texts"):
        make(texts=["怎么", "怎么", " "])


def test_only_so_many_texts_are_read(make):
    """The vocabulary is that of the sample."""
    few = load_file(make("few", limit=5, min_count=1) / "model.safetensors")
    all_ = load_file(make("all", min_count=1) / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    assert len(few[name]) < len(all_[name])


def test_it_is_fine_tuned_like_any_teacher(make, tmp_path, cache):
    from flipkd.data.table import PairTable

    rows = np.arange(20)
    a = TEXTS[:100:5]
    b = [f"{row}{a[row if row % 2 else row - 1]}" for row in rows]
    pairs = PairTable(a, b, rows % 2, "pairs.csv", rows.tolist(), {})
    output = tmp_path / "teacher"
    config = TeacherConfig(epochs=1, batch_size=8, folds=1)
    fit_teacher(str(make()), pairs, output, config, seed=0, device="cpu", cache_dir=cache)
    before, after = load_file(make() / "model.safetensors"), load_file(output / "all" / "model.safetensors")
    assert before.keys() == after.keys()
    assert not np.array_equal(before["embeddings.word_embeddings.weight"], after["embeddings.word_embeddings.weight"])
