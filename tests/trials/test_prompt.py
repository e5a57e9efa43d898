"""docs/trials.md, padding, label tokens, truncation: section 3a of the faults that other tools' users met."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from flipkd import FlipkdError, Matcher
from flipkd.cli.main import main
from flipkd.evaluation.answer import Answer
from flipkd.student.adapter import add_adapter, load_adapter
from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.loading import load_student, load_tokenizer
from flipkd.student.packing import pack
from flipkd.student.template import Template
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.training import TeacherConfig, fit_teacher
from tiny import PROMPT, WORDS, base_model, label_words, pairs, student, texts
from training.stages import joint
from trials.runs import base_copy, edit_json, said

PAIR = ("how do i reset my pin", "what is the cost of a new card")
SEVEN = list(zip(texts(7, seed=5), texts(7, seed=6), strict=True))


def by_both(matcher):
    """The tiny run with an answer of decoder and encoder, whatever its few pairs would have chosen."""
    answer = Answer(("decoder", "encoder"), (0.5, 4.0), -2.0, 0.5, "by hand").as_dict()
    return Matcher(matcher.student, matcher.spec.model_copy(update={"answer": answer}), None)


@pytest.fixture(scope="module")
def matcher(artefact):
    return by_both(Matcher.from_pretrained(artefact, device="cpu"))


def test_a_long_neighbour_or_seven_change_no_answer(matcher):
    """Row 1."""
    alone = matcher.match(*PAIR)
    long = " ".join(np.random.default_rng(0).choice(WORDS, 200))
    for among in ([PAIR, (long, long)], [PAIR, *SEVEN[:6]], [*SEVEN, PAIR, (long, PAIR[1])]):
        found = matcher.match_many(among)[among.index(PAIR)]
        assert found.probability == pytest.approx(alone.probability, abs=1e-5)
        assert found.similarity == pytest.approx(alone.similarity, abs=1e-5)
        assert found.logit == pytest.approx(alone.logit, abs=1e-4)


def test_the_side_on_which_a_tokenizer_pads_changes_nothing(artefact, models, matcher, tmp_path):
    """Row 2: rows are packed, so no side is padded."""
    plain = matcher.match_many(SEVEN)
    for side in ("left", "right"):
        folder = tmp_path / side
        shutil.copytree(artefact, folder)
        for file in folder.glob("tokenizer*"):
            file.unlink()  # so that the base's is read with
        base = base_copy(models["student"], tmp_path / f"base-{side}", tokenizer={"padding_side": side})
        edit_json(folder / "flipkd.json", base_model=base, tokenizer=None)
        found = by_both(Matcher.from_pretrained(folder, device="cpu"))
        assert found.student.tokenizer.padding_side == side
        assert found.match_many(SEVEN) == plain


@pytest.mark.parametrize("pad", [None, "</s>"], ids=["no pad token", "pad = eos"])
def test_a_student_without_a_padding_token_of_its_own_is_trained_saved_and_read_back(pad, models, tmp_path):
    """Rows 3 and 4: nothing is padded, so no pad position is learnt either."""
    base = base_copy(models["student"], tmp_path / "base", tokenizer={"pad_token": pad}, pad_token_id=None)
    model, words = load_student(base, device="cpu", cache_dir=tmp_path)
    assert words.pad_token == pad
    template = Template.build(words, prompt=PROMPT, label_words=label_words(words), max_text_tokens=40)
    made = add_adapter(
        model, words, template, adapt_layers=2, rank=4, alpha=8, site_layer=None, site_modules=None, pooling="last",
        seed=0,
    )  # fmt: skip
    short = pairs(16)
    lengths = replace(short, text_b=[" ".join([b, *WORDS]) if i % 2 else "a" for i, b in enumerate(short.text_b)])
    trainer = joint(tmp_path / "work", table=lengths, made=made)
    trainer.args.max_steps = 3
    assert all(np.isfinite(record["loss"]) for record in trainer.run() if "loss" in record)
    made.model.save_pretrained(tmp_path / "saved")
    words.save_pretrained(tmp_path / "saved")
    again = load_adapter(
        load_student(base, device="cpu", cache_dir=tmp_path)[0],
        load_tokenizer(str(tmp_path / "saved"), cache_dir=tmp_path),
        template, tmp_path / "saved", sites=made.sites, pooling="last", first_adapted=made.first_adapted,
    )  # fmt: skip
    two = EncodedPairs.of(again, [PAIR[0], "a"], [PAIR[1], " ".join(WORDS)])
    together, alone = Reader(again).log_odds(two), Reader(again, batch_tokens=1).log_odds(two)
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.fixture(params=["bi", "cross"])
def unpadded(request, tmp_path):
    """A teacher made from a decoder, whose tokenizer and network name no padding token."""
    from transformers import LlamaForSequenceClassification

    model, words = base_model()
    words.pad_token = None
    model.config.pad_token_id, model.config.num_labels = None, 1
    network = model.model if request.param == "bi" else LlamaForSequenceClassification(model.config)
    network.save_pretrained(tmp_path / "teacher")
    words.save_pretrained(tmp_path / "teacher")
    return tmp_path / "teacher"


def test_a_teacher_without_a_padding_token_gets_one_for_good(unpadded, tmp_path, capsys):
    """Row 3, for the teacher, which does pad."""
    teacher = Teacher.load(str(unpadded), device="cpu", cache=False)
    assert "teacher's padding token: <unk> (neither tokenizer nor network has one)" in said(capsys)
    columns = [list(column) for column in zip(*SEVEN, strict=True)]
    one_by_one = [float(teacher.similarity([a], [b])[0]) for a, b in SEVEN]
    np.testing.assert_allclose(teacher.similarity(*columns), one_by_one, atol=1e-5)

    config = TeacherConfig(epochs=1, batch_size=8, folds=1)
    fit_teacher(str(unpadded), pairs(16), tmp_path / "fitted", config, seed=0, device="cpu", cache_dir=tmp_path)
    saved = json.loads((tmp_path / "fitted" / "all" / "config.json").read_text())
    words = json.loads((tmp_path / "fitted" / "all" / "tokenizer_config.json").read_text())
    assert (saved["pad_token_id"], words["pad_token"]) == (0, "<unk>")


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_one_token_beside_many_is_finite_in_bfloat16(architecture):
    """Row 6, forward and backward."""
    made = student(architecture, trained=True)
    made.model.get_base_model().to(torch.bfloat16)
    ids = made.template.encode_texts(made.tokenizer, ["a", "i", " ".join(WORDS)])
    assert [len(text) for text in ids] == [1, 1, len(WORDS)]
    found = made(pack(made.template, ids, [(0, 1), (0, 2), (2, 1)]))
    assert found.log_odds.isfinite().all()
    assert found.vectors.isfinite().all()
    (found.log_odds.sum() + (found.vectors @ found.vectors.T).sum()).backward()
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)


def test_five_thousand_words_leave_the_answer_cue_and_both_texts(artefact, matcher, tmp_path, capsys):
    """Row 8."""
    long = " ".join(np.random.default_rng(0).choice(WORDS, 5000))
    file = tmp_path / "pairs.csv"
    file.write_text(f"text_a,text_b\nreset my pin,{long}\n", encoding="utf-8")
    assert main(["inspect", "--model", str(artefact), "--pairs", str(file)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    parts = [line.split()[1] for line in lines[2:-1]]
    template = matcher.student.template
    assert parts.count("b") == template.max_text_tokens == 40
    assert 1 <= parts.count("a") < 10
    assert parts[-len(template.suffix) :] == ["R"] * len(template.suffix)
    assert lines[-2].endswith("<- the answer is read here")
    assert "1 of 2 texts are longer than 40 tokens and are cut there" in " ".join(shown.err.split())
    end = matcher.match("reset my pin", f"{long} lost stolen")
    assert end == matcher.match("reset my pin", long)


@pytest.mark.parametrize("field", ["prompt", "label_words", "label_ids", "suffix"])
def test_a_prompt_that_was_changed_after_training_is_refused(field, artefact, tmp_path, capsys):
    """Row 10, on the command line: no output either."""
    folder = tmp_path / "run"
    shutil.copytree(artefact, folder)
    template = json.loads((folder / "flipkd.json").read_text())["template"]
    changed = {
        "prompt": template["prompt"].replace("same", "alike"),
        "label_words": template["label_words"][::-1],
        "label_ids": template["label_ids"][::-1],
        "suffix": template["suffix"][:-1],
    }
    edit_json(folder / "flipkd.json", template=template | {field: changed[field]})
    file = tmp_path / "pairs.csv"
    file.write_text("text_a,text_b\nreset my pin,open account\n", encoding="utf-8")
    words = ["match", "--model", str(folder), "--pairs", str(file), "--output", str(tmp_path / "out.csv")]
    assert main([*words, "--device", "cpu"]) == 1
    assert "edited after training" in said(capsys)
    assert not (tmp_path / "out.csv").exists()


def test_a_text_that_shows_nothing_is_refused(matcher):
    """Row 6's empty text."""
    with pytest.raises(FlipkdError, match="empty"):
        matcher.match_many([PAIR, ("", "reset my pin")])
