import csv
import gc
import json
import shutil
import tracemalloc

import numpy as np
import pytest

from flipkd.cli import main
from flipkd.cli.inspect import describe
from flipkd.cli.main import main as run
from flipkd.data.reader import read_pairs
from flipkd.evaluation.answer import Answer
from flipkd.evaluation.cascade import Band
from flipkd.matching.matcher import MatchArrays, Matcher
from flipkd.student.template import Template
from tiny import PROMPT, label_words, texts, tokenizer


def write(file, rows, header=("text_a", "text_b", "note")):
    with open(file, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return str(file)


def read(file):
    with open(file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def match(artefact, pairs, output, *words):
    given = ["--model", str(artefact), "--pairs", pairs, "--output", str(output), "--device", "cpu"]
    return run(["match", *given, *words])


ROWS = [(a, b, f"row {i}") for i, (a, b) in enumerate(zip(texts(7, 5), texts(7, 6), strict=True))]


def test_rows_keep_order_duplicates_and_further_columns(artefact, tmp_path):
    rows = [ROWS[3], ROWS[0], ROWS[3], ('with "quotes", and\na line', "reset my pin", "007"), ROWS[1]]
    assert match(artefact, write(tmp_path / "pairs.csv", rows), tmp_path / "out.csv") == 0
    found = read(tmp_path / "out.csv")
    assert [(r["text_a"], r["text_b"], r["note"]) for r in found] == rows
    assert found[0] == found[2]
    assert list(found[0])[-4:] == ["probability", "similarity", "logit", "match"]


def test_a_lone_carriage_return_in_a_text_is_read_back(artefact, tmp_path):
    rows = [("reset\rmy pin", "open account", "one\rnote")]
    assert match(artefact, write(tmp_path / "pairs.csv", rows), tmp_path / "out.csv") == 0
    again = read_pairs(str(tmp_path / "out.csv"), labelled=False)
    assert (again.text_a, again.text_b, again.extra["note"]) == (["reset\rmy pin"], ["open account"], ["one\rnote"])


def test_rows_with_an_empty_text_are_dropped_and_other_encodings_read_where_asked(artefact, tmp_path, capsys):
    rows = [("überweisung", "open account", "one"), ("", "reset my pin", "two"), ("lost card", "open", "three")]
    pairs = write(tmp_path / "pairs.csv", rows)
    file = tmp_path / "latin.csv"
    file.write_bytes((tmp_path / "pairs.csv").read_text(encoding="utf-8").encode("cp1252"))
    assert match(artefact, pairs, tmp_path / "out.csv") == 1
    assert "line 3" in capsys.readouterr().err
    for given, words in ((pairs, []), (str(file), ["--encoding", "cp1252"])):
        assert match(artefact, given, tmp_path / "out.csv", "--empty", "drop", *words) == 0
        found = read(tmp_path / "out.csv")
        assert [(row["text_a"], row["note"]) for row in found] == [("überweisung", "one"), ("lost card", "three")]


def test_chunks_answer_as_the_whole(artefact, tmp_path):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    match(artefact, pairs, tmp_path / "whole.csv")
    match(artefact, pairs, tmp_path / "chunks.csv", "--chunk-rows", "2")
    for one, other in zip(read(tmp_path / "whole.csv"), read(tmp_path / "chunks.csv"), strict=True):
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-5)


def test_a_fault_in_the_last_row_leaves_no_output(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", [*ROWS, ("", "reset", "x")])
    assert match(artefact, pairs, tmp_path / "out.csv", "--chunk-rows", "2") == 1
    assert "pairs.csv" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.csv"]


def test_the_old_output_stays_when_the_new_one_fails(artefact, tmp_path):
    (tmp_path / "out.csv").write_text("old")
    pairs = write(tmp_path / "pairs.csv", [*ROWS, ("", "reset", "x")])
    match(artefact, pairs, tmp_path / "out.csv", "--chunk-rows", "2")
    assert (tmp_path / "out.csv").read_text() == "old"


@pytest.mark.parametrize("name", ["match", "probability", "text_a"])
def test_no_two_columns_of_the_output_have_one_name(name, artefact, tmp_path, capsys):
    columns = ["--columns", json.dumps({"text_a": "question1", "text_b": "question2"})]
    pairs = write(tmp_path / "pairs.csv", [("reset my pin", "open account", "1")], ("question1", "question2", name))
    assert match(artefact, pairs, tmp_path / "out.csv", *columns) == 1
    assert f"has a column named {name}, as the output will" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_the_pairs_are_not_overwritten(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    assert match(artefact, pairs, tmp_path / "." / "pairs.csv") == 1
    assert "is the file that is read" in capsys.readouterr().err
    assert len(read(tmp_path / "pairs.csv")) == len(ROWS)


def test_answers_are_written_unrounded(artefact, tmp_path):
    match(artefact, write(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv")
    found = Matcher.from_pretrained(artefact, device="cpu").match_many([row[:2] for row in ROWS])
    for row, result in zip(read(tmp_path / "out.csv"), found, strict=True):
        assert float(row["probability"]) == pytest.approx(result.probability, rel=1e-6)
        assert row["probability"] == repr(float(row["probability"]))


def test_a_labelled_file_is_passed_through(artefact, tmp_path):
    header = ("question1", "question2", "label")
    pairs = write(tmp_path / "pairs.csv", [("reset my pin", "open account", "maybe")], header)
    assert match(artefact, pairs, tmp_path / "out.csv") == 0
    assert read(tmp_path / "out.csv")[0]["label"] == "maybe"


def test_an_output_that_is_not_csv_is_refused(artefact, tmp_path, capsys):
    assert match(artefact, write(tmp_path / "pairs.csv", ROWS), tmp_path / "out.xlsx") == 1
    assert "must end in .csv" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def edited(artefact, tmp_path_factory):
    """Makes a copy of the artefact with an answer of its own, and perhaps a band."""

    def make(*sources, band=None):
        folder = tmp_path_factory.mktemp("edited") / "run"
        shutil.copytree(artefact, folder)
        fields = json.loads((folder / "flipkd.json").read_text())
        fields |= {"answer": Answer(sources, (2.0,) * len(sources), -1.0, 0.5, "by hand").as_dict(), "symmetric": False}
        if band is not None:
            encoder = Answer(("encoder",), (2.0,), -1.0, 0.5, "by hand")
            fields["cascade"] = Band(*band, encoder, 0.5, 0.0, 0.0, 100, "a band by hand").as_dict()
        (folder / "flipkd.json").write_text(json.dumps(fields))
        return folder

    return make


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_the_cascade_leaves_the_logit_empty_where_the_decoder_was_skipped(edited, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    match(edited("decoder", "encoder"), pairs, tmp_path / "whole.csv")
    assert "skipped" not in said(capsys)
    whole = read(tmp_path / "whole.csv")
    order = np.sort([float(row["similarity"]) for row in whole])
    low, high = (order[[1, 4]] + order[[2, 5]]) / 2  # as far as can be from the rows that it parts
    model = edited("decoder", "encoder", band=(low, high))
    assert match(model, pairs, tmp_path / "out.csv", "--cascade", "--chunk-rows", "3") == 0
    err = said(capsys)
    assert "cascade: on (a band by hand)" in err
    assert "decoder: skipped for 4 of 7 pairs (57.1%; the encoder alone was sure)" in err
    found = read(tmp_path / "out.csv")
    for row, full in zip(found, whole, strict=True):
        similarity = float(row["similarity"])
        assert similarity == pytest.approx(float(full["similarity"]), abs=2e-6)
        inside = low <= similarity < high
        assert (row["logit"] == "") == (not inside)
        expected = float(full["probability"]) if inside else 1 / (1 + np.exp(1.0 - 2.0 * similarity))
        assert float(row["probability"]) == pytest.approx(expected, abs=5e-6)
        assert row["match"] == str(int(expected >= 0.5))


def test_an_answer_of_the_encoder_alone_writes_no_logit(edited, tmp_path, capsys):
    assert match(edited("encoder"), write(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv") == 0
    assert "decoder: skipped for 7 of 7 pairs (100.0%; the answer uses the encoder alone)" in said(capsys)
    assert {row["logit"] for row in read(tmp_path / "out.csv")} == {""}


def test_an_answer_of_the_decoder_alone_writes_no_similarity(edited, tmp_path):
    assert match(edited("decoder"), write(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv") == 0
    found = read(tmp_path / "out.csv")
    assert {row["similarity"] for row in found} == {""}
    assert all(row["logit"] for row in found)


def test_bands_write_a_decision_and_say_the_shares(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    assert match(artefact, pairs, tmp_path / "out.csv", "--policy", "bands=0.4:0.4", "--prior", "0.3") == 0
    found = read(tmp_path / "out.csv")
    assert list(found[0])[-5:] == ["probability", "similarity", "logit", "match", "decision"]
    assert all((row["decision"] == "accept") == (row["match"] == "1") for row in found)
    err = said(capsys)
    assert "prior: 0.3 (" in err
    accepted = sum(row["decision"] == "accept" for row in found)
    assert f"decisions: accept {accepted / len(found):.1%}, review" in err


def test_int8_weights_move_the_answers_a_little(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    match(artefact, pairs, tmp_path / "whole.csv")
    assert match(artefact, pairs, tmp_path / "out.csv", "--int8") == 0
    assert "weights: int8" in said(capsys)
    moved = [
        abs(float(one["probability"]) - float(other["probability"]))
        for one, other in zip(read(tmp_path / "whole.csv"), read(tmp_path / "out.csv"), strict=True)
    ]
    assert 0 < max(moved) < 0.1


def test_a_cascade_without_a_band_is_refused_before_anything_is_read(edited, tmp_path, capsys):
    assert match(edited("decoder"), str(tmp_path / "missing.csv"), tmp_path / "out" / "out.csv", "--cascade") == 1
    assert "no band to cascade by" in said(capsys)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_file(artefact, tmp_path, monkeypatch):
    """What Python holds after 30 chunks more, the model's work left out."""

    def answer(self, text_a, *_, **__):
        chunks.append(len(text_a))
        if len(chunks) == 10:
            gc.collect()
            tracemalloc.start()
        if len(chunks) == 40:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        half = np.full(len(text_a), 0.5)
        return MatchArrays(half, half, half, half > 0)

    chunks, held = [], []
    monkeypatch.setattr(Matcher, "match_arrays", answer)
    pairs = write(tmp_path / "pairs.csv", [(f"question {i}", f"answer {i}", "x") for i in range(10_000)])
    match(artefact, pairs, tmp_path / "out.csv", "--chunk-rows", "250")
    tracemalloc.stop()
    # The chunk in hand takes some 100 kB; the rows of 30 chunks in a list would take 2 MB.
    assert held[0] < 400_000
    assert len(read(tmp_path / "out.csv")) == 10_000


def test_inspect_marks_the_texts_and_the_read_position(artefact, tmp_path, capsys):
    pairs = write(tmp_path / "pairs.csv", ROWS)
    assert run(["inspect", "--model", str(artefact), "--pairs", pairs, "--rows", "2"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    for block in blocks[:2]:
        real = [line for line in block.splitlines() if line.split()[0].isdigit()]
        assert "<- the answer is read here" in real[-1]
        assert block.count("read here") == 1
        # Of pooling `last`: only the last token of a, behind which Q begins.
        (marked,) = [row for row, line in enumerate(real) if "in a's vector" in line]
        assert [real[row].split()[1] for row in (marked, marked + 1)] == ["a", "Q"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"symmetric": True}, "asks both orders"),
        ({"symmetric": False}, "log-odds = logit of the second"),
        ({"sources": ["encoder"], "weights": [4.0]}, "by its vectors alone"),
    ],
)
def test_inspect_says_what_the_prompt_does_not_show(artefact, tmp_path, capsys, fields, said):
    copy = tmp_path / "run"
    shutil.copytree(artefact, copy)
    spec = json.loads((copy / "flipkd.json").read_text())
    answer = {"sources": ["decoder"], "weights": [1.0]} | {k: v for k, v in fields.items() if k != "symmetric"}
    spec |= {"answer": spec["answer"] | answer, "symmetric": fields.get("symmetric", True)}
    (copy / "flipkd.json").write_text(json.dumps(spec))
    assert run(["inspect", "--model", str(copy), "--pairs", write(tmp_path / "pairs.csv", ROWS), "--rows", "1"]) == 0
    assert said in capsys.readouterr().out.splitlines()[-1]


def test_inspect_marks_every_token_that_a_mean_is_taken_of():
    words = tokenizer()
    template = Template.build(words, prompt=PROMPT, label_words=label_words(words))
    (block,) = describe(words, template, ["reset my pin"], ["lost card"], ["here"], "mean")
    assert block.count("in a's vector") == sum("  a  " in line for line in block.splitlines()) > 1


def test_every_command_has_options_and_a_run(tmp_path):
    from importlib import import_module

    for module, _ in main.COMMANDS.values():
        found = import_module(module)
        # A dataclass without a docstring gets its signature for one.
        assert not found.Options.__doc__.startswith("Options(")
        assert callable(found.run)
