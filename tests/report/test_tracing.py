"""Every number of card and report is found in the file and under the key that it names."""

import json

import pytest

from flipkd.report.render import html_report, model_card
from report.tracing import Card, Page, assert_traced, look_up, untraced

JSON_FILES = ("flipkd.json", "evaluation/metrics.json", "evaluation/self_check.json", "training/run.json")


def changed(value, count):
    """JSON with every number moved by another step, and every text made longer."""
    if isinstance(value, dict):
        return {name: changed(each, count) for name, each in value.items()}
    if isinstance(value, list):
        return [changed(each, count) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    count.append(0)
    return value + len(count) if isinstance(value, int | float) else f"{value} and {len(count)}"


def test_every_figure_of_the_report_is_in_the_file_it_names(artefact):
    page = Page(html_report(artefact))
    assert_traced(page.cells, artefact)
    assert untraced("\n".join(page.prose)) == []
    files = {source.partition(": ")[0] for source, _ in page.cells}
    assert files == {*JSON_FILES, "training/log.jsonl", "evaluation/predictions.parquet"}


def test_every_figure_of_the_card_is_in_the_file_it_names(artefact):
    card = Card(model_card(artefact))
    assert_traced(card.cells, artefact)
    assert untraced("\n".join(card.prose)) == []


def test_the_last_column_and_the_columns_name_give_the_key(artefact):
    page = Page(html_report(artefact))
    assert len(page.wheres) > 50
    for where, sources in page.wheres:
        assert all(source == where or source.rpartition(".")[0] == where for source in sources)


@pytest.mark.parametrize(("make", "read"), [(html_report, Page), (model_card, Card)])
def test_changed_files_change_every_figure(make, read, artefact, copy):
    count = []
    for file in JSON_FILES:
        (copy / file).write_text(json.dumps(changed(json.loads((artefact / file).read_text()), count)))
    log = [changed(json.loads(line), count) for line in (artefact / "training/log.jsonl").read_text().splitlines()]
    (copy / "training/log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
    before, after = (dict(read(make(folder)).cells) for folder in (artefact, copy))
    assert_traced(list(after.items()), copy)
    # Each record of the log has a stage of its own now, so some lines are shown that were not.
    same = [source for source in before if source in after and "parquet" not in source]
    assert len(same) > 50
    for source in same:
        if not isinstance(look_up(artefact, source), bool | list):
            assert before[source] != after[source], source


def test_a_figure_that_is_not_the_files_is_caught(copy, edit):
    page = Page(html_report(copy))
    edit("evaluation/metrics.json", lambda found: found["rows"]["flipped_answer"].update(f1=0.123))
    with pytest.raises(AssertionError, match=r"rows\.flipped_answer\.f1"):
        assert_traced(page.cells, copy)


def test_a_figure_outside_the_tables_is_caught(artefact):
    text = html_report(artefact).replace("</header>", "<p>an F1 of 0.912</p></header>")
    assert untraced("\n".join(Page(text).prose)) == ["0.912"]


def test_a_figure_under_another_key_is_caught(artefact):
    card = model_card(artefact).replace("`evaluation/metrics.json: rows.teacher`", "`flipkd.json: thresholds`")
    with pytest.raises(KeyError):
        assert_traced(Card(card).cells, artefact)


def test_card_and_report_depend_on_the_files_alone(artefact, copy):
    assert html_report(artefact) == html_report(copy) == (artefact / "report.html").read_text(encoding="utf-8")
    assert model_card(artefact) == model_card(copy) == (artefact / "README.md").read_text(encoding="utf-8")
