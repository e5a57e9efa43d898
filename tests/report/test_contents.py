"""What card and report say, and what they say of an artefact that holds less."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flipkd.errors import FlipkdError
from flipkd.report.contents import standings
from flipkd.report.records import Records
from flipkd.report.render import html_report, model_card
from report.tracing import Page

FILES = {
    "evaluation/metrics.json": "All methods, on the same pairs",
    "evaluation/self_check.json": "Self-check",
    "evaluation/predictions.parquet": "The surest mistakes of either kind",
    "training/run.json": "Settings that differ from the defaults",
    "training/log.jsonl": "First and last record of each stage",
}


def words(page):
    return " ".join("".join(Page(page).prose).split())


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_there_is_named(file, copy):
    (copy / file).unlink()
    page = html_report(copy)
    assert f"{FILES[file]}: not recorded in this artefact (<code>{file}</code>)" in page
    assert model_card(copy).startswith("---\nlibrary_name: peft\n")


def test_an_artefact_before_intervals_says_so(copy, edit):
    edit("evaluation/metrics.json", lambda found: found.pop("differences"))
    assert "(ours) less each other method (theirs): not recorded" in words(html_report(copy))
    assert "no interval is recorded, so it may be chance" in model_card(copy)
    assert "No intervals are recorded" in model_card(copy)


def test_predictions_of_an_earlier_version_are_not_called_damaged(copy):
    file = copy / "evaluation" / "predictions.parquet"
    pq.write_table(pq.read_table(file).drop_columns("match"), file)
    assert "The surest mistakes of either kind: not recorded" in words(html_report(copy))


def test_nothing_but_the_name_of_an_artefact_is_needed(tmp_path):
    (tmp_path / "flipkd.json").write_text("{}")
    page = html_report(tmp_path)
    assert page.count("not recorded in this artefact") >= 10
    assert page.count("the picture is not in this artefact") == 6
    assert "not recorded" in model_card(tmp_path)


def test_a_folder_that_is_no_artefact_is_refused(tmp_path):
    with pytest.raises(FlipkdError, match=r"no flipkd artefact.*--output of a finished run"):
        html_report(tmp_path)


@pytest.mark.parametrize("file", ["evaluation/metrics.json", "training/log.jsonl", "evaluation/predictions.parquet"])
def test_a_damaged_file_is_named(file, copy):
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(FlipkdError, match=rf"{file.rpartition('/')[2]} is damaged"):
        html_report(copy)


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("file", ["flipkd.json", "evaluation/metrics.json", "training/run.json", "training/log.jsonl"])
def test_a_number_beyond_every_float_is_told(file, digits, copy):
    (copy / file).write_text('{"seed": 1' + "0" * digits + "}")
    for page in (html_report, model_card) if file != "training/log.jsonl" else (html_report,):
        with pytest.raises(FlipkdError, match=rf"{file.rpartition('/')[2]} is damaged"):
            page(copy)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_key_that_is_missing_or_of_another_type_stops_nothing(data, artefact, tmp_path):
    for file in ("flipkd.json", "evaluation/metrics.json", "evaluation/self_check.json", "training/run.json"):
        content = json.loads((artefact / file).read_text())
        here = content
        while True:
            name = data.draw(st.sampled_from(sorted(here)))
            if not isinstance(here[name], dict) or not here[name] or data.draw(st.booleans()):
                break
            here = here[name]
        other = data.draw(
            st.sampled_from(["gone", None, "text", 1, 0.5, True, [], ["text"], [{}], {}, {"a": {"b": 1}}])
        )
        here.pop(name) if other == "gone" else here.update({name: other})
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(json.dumps(content))
    assert html_report(tmp_path)
    assert model_card(tmp_path)


def standing_of(copy, edit, *, ours, theirs, low, high, independent=200):
    def figures(found):
        found["rows"]["flipped_answer"]["f1"], found["rows"]["teacher"]["f1"] = ours, theirs
        found["differences"]["independent"] = independent
        found["differences"]["against"]["teacher"]["f1"] |= {"low": low, "high": high}

    edit("evaluation/metrics.json", figures)
    (said,) = [sentence for sentence in standings(Records(copy)) if "the teacher in F1" in sentence]
    assert f"<li>{said}</li>" in html_report(copy)
    assert f"- {said}" in model_card(copy).splitlines()
    return said


def test_a_loss_is_said_plainly(copy, edit):
    said = standing_of(copy, edit, ours=0.7, theirs=0.8, low=-0.15, high=-0.05)
    assert said.startswith("The flipped answer is behind the teacher in F1 on these pairs, and the interval leaves out")


def test_a_win_within_the_interval_is_no_win(copy, edit):
    said = standing_of(copy, edit, ours=0.8, theirs=0.79, low=-0.02, high=0.04)
    assert said.startswith(
        "The flipped answer is ahead of the teacher in F1 on these pairs, by less than these pairs can"
    )


def test_a_ranking_that_is_settled_where_f1_is_not_is_said(copy, edit):
    def figures(found):
        found["differences"]["against"]["teacher"]["auc"] |= {"low": -0.3, "high": -0.1}

    edit("evaluation/metrics.json", figures)
    said = standing_of(copy, edit, ours=0.8, theirs=0.79, low=-0.02, high=0.04)
    assert "; but in AUC it is behind, and the interval leaves out no difference" in said


def test_equal_figures_are_level(copy, edit):
    assert "is level with the teacher" in standing_of(copy, edit, ours=0.8, theirs=0.8, low=-0.02, high=0.02)


def test_a_handful_of_groups_settles_nothing(copy, edit):
    said = standing_of(copy, edit, ours=0.8, theirs=0.7, low=0.05, high=0.15, independent=19)
    assert said.endswith("the pairs are too few, or share too many texts, for an interval.")


def test_figures_of_validation_are_called_flattering(copy, edit):
    assert "they flatter" not in words(html_report(copy)).lower()
    edit("evaluation/metrics.json", lambda found: found.update(measured_on="validation"))
    assert "fitted: they flatter." in words(html_report(copy))
    assert "fitted: they flatter.**" in model_card(copy)
    assert "No test set was given" in model_card(copy)


def test_a_kept_teacher_makes_the_two_model_row_ours(copy, edit):
    edit("flipkd.json", lambda found: found["answer"].update(sources=["decoder", "teacher"]))
    assert any(said.startswith("The flipped+teacher is") for said in standings(Records(copy)))
    assert ".flipped_teacher_probability" in html_report(copy)


@pytest.mark.parametrize(("origin", "named"), [("hub", True), ("folder", False), ("package", False), (None, False)])
def test_the_base_is_named_to_the_hub_only_if_it_is_of_the_hub(origin, named, copy, edit):
    edit("flipkd.json", lambda found: found.update(base_model="org/base"))
    edit("training/run.json", lambda found: found.update(student_from=origin))
    front = yaml.safe_load(model_card(copy).split("\n---\n")[0].removeprefix("---\n"))
    assert (front.get("base_model") == "org/base") is named
    assert front["library_name"] == "peft"
    assert "license" not in front


def test_the_card_is_short(artefact):
    assert len(model_card(artefact).splitlines()) <= 125


def test_the_surest_mistakes_of_either_kind_come_first(artefact):
    table = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pylist()
    wrong = [row for row in table if row["kind"] in ("fp", "fn")]
    shown = dict(Page(html_report(artefact)).cells)
    told = [
        float(text)
        for source, text in shown.items()
        if source.startswith(Path("evaluation/predictions.parquet").as_posix()) and source.endswith("_probability")
    ]
    highest = sorted((row["flipped_answer_probability"] for row in wrong if row["kind"] == "fp"), reverse=True)[:5]
    lowest = sorted(row["flipped_answer_probability"] for row in wrong if row["kind"] == "fn")[:5]
    assert told == pytest.approx([*highest, *lowest], abs=5e-4)
    assert told


def test_a_run_without_mistakes_says_so(copy):
    file = copy / "evaluation" / "predictions.parquet"
    table = pq.read_table(file)
    right = pa.array(label == 1 for label in table["label"].to_pylist())
    pq.write_table(table.set_column(table.schema.get_field_index("match"), "match", right), file)
    assert "There are none: every measured pair is decided rightly." in words(html_report(copy))


def test_a_run_whose_mistakes_are_all_under_review_does_not_call_them_right(copy):
    file = copy / "evaluation" / "predictions.parquet"
    table = pq.read_table(file)
    pq.write_table(table.append_column("decision", pa.array(["review"] * len(table))), file)
    assert "There are none: no pair is accepted or rejected wrongly." in words(html_report(copy))


def test_a_decision_is_shown_with_what_it_achieves(copy, edit):
    part = {"share": 0.25, "precision": None, "precision_at_least": None, "pairs": 12}
    measured = {"accepted": part, "rejected": part, "recall": 0.5, "review": 0.125, "match_rate": 0.5, "rows": 48}
    edit("flipkd.json", lambda found: found.update(decision={"policy": "precision=0.95", "threshold": 0.625}))
    edit("evaluation/metrics.json", lambda found: found.update(decision={"measured": measured}))
    cells = dict(Page(html_report(copy)).cells)
    assert cells["flipkd.json: decision.policy"] == "precision=0.95"
    assert cells["flipkd.json: decision.threshold"] == "0.6250"
    assert cells["evaluation/metrics.json: decision.measured.accepted.share"] == "0.250"
    assert cells["evaluation/metrics.json: decision.measured.review"] == "0.125"
    # None was decided so, so there is no precision to show.
    assert "evaluation/metrics.json: decision.measured.accepted.precision" not in cells
