"""`flipkd index`, from a file of entries to answers and back."""

import csv
import json

import pytest

from flipkd.cli.main import main as run

pytest.importorskip("milvus_lite", reason="needs the extra index")

FAQ = "id,question,answer\npin,how do i reset my pin,In the app.\nstolen,my card was stolen,Call us.\n"


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def idx(artefact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "faq.csv").write_text(FAQ)
    words = ["--model", str(artefact), "--faq", str(folder / "faq.csv"), "--output", str(folder / "idx")]
    assert run(["index", "build", *words, "--device", "cpu"]) == 0
    return folder / "idx"


@pytest.fixture
def model(artefact):
    return ["--model", str(artefact), "--device", "cpu"]


def test_one_query_gets_a_table(idx, model, capsys):
    assert run(["index", "search", *model, "--index", str(idx), "--query", "reset my pin"]) == 0
    shown = capsys.readouterr().out
    assert "reset my pin: " in shown
    assert "stolen" in shown


def test_a_file_of_queries_may_be_of_any_encoding(idx, model, tmp_path):
    (tmp_path / "queries.txt").write_text("Gebühr\n", encoding="cp1252")
    words = ["index", "search", *model, "--index", str(idx), "--queries", str(tmp_path / "queries.txt")]
    out = tmp_path / "found.csv"
    assert run([*words, "--output", str(out)]) == 1
    assert run([*words, "--output", str(out), "--encoding", "cp1252"]) == 0
    assert "Gebühr" in out.read_text(encoding="utf-8")


def test_a_file_of_queries_becomes_csv_or_json_lines(idx, model, tmp_path):
    (tmp_path / "queries.txt").write_text("reset my pin\nzebra\n")
    words = [*model, "--index", str(idx), "--queries", str(tmp_path / "queries.txt"), "--first-stage", "bm25"]
    assert run(["index", "search", *words, "--output", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["query"], row["rank"], row["id"]) for row in rows][-1] == ("zebra", "", "")
    assert {row["id"]: row["answer"] for row in rows[:-1]} == {"pin": "In the app.", "stolen": "Call us."}
    assert 0 <= float(rows[0]["probability"]) <= 1
    assert run(["index", "search", *words, "--output", str(tmp_path / "out.jsonl")]) == 0
    first, second = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert [hit["entry"]["id"] for hit in first["hits"]] == [row["id"] for row in rows[:-1]]
    assert first["answer"] == (rows[0]["id"] if rows[0]["match"] == "1" else None)
    assert second == {"query": "zebra", "answer": None, "hits": []}


@pytest.mark.parametrize(("policy", "answered"), [("cost=1:100000", 1), ("cost=100000:1", 0)])
def test_no_answer_follows_the_policy_in_force(idx, model, capsys, policy, answered):
    assert run(["index", "search", *model, "--index", str(idx), "--query", "reset my pin", "--policy", policy]) == 0
    shown = capsys.readouterr()
    assert f"answered: {answered} of 1 queries" in " ".join(shown.err.split())
    assert ("no answer" in shown.out) == (not answered)
    assert "decision" not in shown.out


def test_the_match_rate_behind_refusals_is_said_where_candidates_hold_fewer(idx, model, capsys, monkeypatch):
    monkeypatch.setattr("flipkd.retrieval.store.Store.__len__", lambda _: 500)
    words = ["index", "search", *model, "--index", str(idx), "--query", "reset my pin"]
    assert run(words) == 0
    assert "with --prior 0.05 more is refused" in said(capsys)
    for fitting in (["--prior", "0.05"], ["--candidates", "2"]):
        assert run([*words, *fitting]) == 0
        assert "match rate" not in said(capsys)


def test_a_hit_is_decided_as_flipkd_match_decides_its_pair(idx, model, tmp_path, capsys):
    deciding = ["--policy", "bands=0.4:0.4", "--prior", "0.3"]
    (tmp_path / "queries.txt").write_text("reset my pin\nmy card\n")
    words = [*model, "--index", str(idx), "--queries", str(tmp_path / "queries.txt"), *deciding]
    for name in ("out.csv", "out.jsonl"):
        assert run(["index", "search", *words, "--output", str(tmp_path / name)]) == 0
    err = said(capsys)
    assert "prior: 0.3 (" in err
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    with open(tmp_path / "pairs.csv", "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("text_a", "text_b"), *((row["query"], row["question"]) for row in rows)])
    pairs, output = str(tmp_path / "pairs.csv"), str(tmp_path / "matched.csv")
    assert run(["match", *model, "--pairs", pairs, "--output", output, *deciding]) == 0
    with open(output, newline="", encoding="utf-8") as handle:
        matched = list(csv.DictReader(handle))
    assert len(rows) == 4
    for row, one in zip(rows, matched, strict=True):
        assert float(row["probability"]) == pytest.approx(float(one["probability"]), abs=2e-6)
        assert (row["decision"], row["match"]) == (one["decision"], one["match"])
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [hit["decision"] for each in found for hit in each["hits"]] == [row["decision"] for row in rows]
    unsure = sum(each["hits"][0]["decision"] == "review" for each in found)
    assert f"for review: {unsure} of 2 queries" in err
    capsys.readouterr()
    assert run(["index", "search", *model, "--index", str(idx), "--query", "reset my pin", *deciding]) == 0
    shown = capsys.readouterr().out
    assert "decision" in shown
    assert {row["decision"] for row in rows[:2]} <= set(shown.split())


def test_entries_are_added_and_removed(artefact, model, tmp_path, capsys):
    (tmp_path / "faq.csv").write_text(FAQ)
    idx, faq = str(tmp_path / "idx"), str(tmp_path / "faq.csv")
    run(["index", "build", *model, "--faq", faq, "--output", idx, "--first-stage", "dense"])
    (tmp_path / "faq.csv").write_text(FAQ.replace("was stolen", "is lost") + "fee,what is the fee,None.\n")
    capsys.readouterr()
    assert run(["index", "add", *model, "--index", idx, "--faq", faq]) == 0
    assert "1 added, 1 updated, 1 unchanged; 3 entries now" in said(capsys)
    assert run(["index", "remove", "--index", idx, "--ids", "pin"]) == 0
    assert run(["index", "remove", "--index", idx, "--ids", '["pin"]']) == 1
    assert "there is no entry 'pin'" in said(capsys)
    assert run(["index", "info", "--index", idx]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["entries"], shown["first_stage"]) == (2, "dense")


def test_an_index_is_measured(idx, model, tmp_path, capsys):
    (tmp_path / "queries.csv").write_text("id,text\n1,reset my pin\n2,zebra\n")
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\tgrade\n1\tpin\t1\n")
    words = ["--queries", str(tmp_path / "queries.csv"), "--qrels", str(tmp_path / "qrels.tsv")]
    also = ["--policies", '["accuracy"]']
    assert run(["index", "evaluate", *model, "--index", str(idx), *words, "--first-stage", "bm25", *also]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["answerable"], found["unanswerable"]) == (1, 1)
    assert found["first_stage"] == {"success1": 1.0, "mrr10": 1.0, "ndcg10": 1.0}
    assert found["bm25"] == found["first_stage"]
    assert found["teacher"] is None
    assert [each["policy"] for each in found["refusals"]] == ["f1", "accuracy"]
    refusal = found["refusals"][0]
    assert refusal["rightly_refused"] == 1.0
    # Whether a tiny trained model lets "reset my pin" pass differs from machine to machine.
    assert refusal["right_answers"] in ([None] if refusal["wrongly_refused"] else [0.0, 1.0])


def test_a_teacher_is_measured_alone(idx, model, models, tmp_path, capsys):
    (tmp_path / "queries.csv").write_text("id,text\n1,how do i reset my pin\n")
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\tgrade\n1\tpin\t1\n")
    words = ["--queries", str(tmp_path / "queries.csv"), "--qrels", str(tmp_path / "qrels.tsv")]
    words += ["--teacher", models["teacher"], "--cache-dir", str(tmp_path / "cache")]
    assert run(["index", "evaluate", *model, "--index", str(idx), *words]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["teacher"] == {"success1": 1.0, "mrr10": 1.0, "ndcg10": 1.0}
    assert "not the one that this artefact learnt from" in " ".join(shown.err.split())


def test_faults_are_told_before_a_model_is_loaded(idx, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flipkd.matching.matcher.Matcher.from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "faq.csv").write_text(FAQ)
    faq = ["--faq", str(tmp_path / "faq.csv")]
    assert run(["index", "build", "--model", "x", *faq, "--output", str(idx)]) == 1
    assert "is already there" in said(capsys)
    assert run(["index", "search", "--model", "x", "--index", str(tmp_path / "none"), "--query", "a"]) == 1
    assert "is no index" in said(capsys)
    assert run(["index", "search", "--model", "x", "--index", str(idx)]) == 1
    assert "Give --query TEXT or --queries FILE" in said(capsys)
    assert run(["index", "search", "--model", "x", "--index", str(idx), "--query", "a", "--output", "a.txt"]) == 1
    assert "must end in .csv or .jsonl" in said(capsys)
