"""Texts of anyone, in data and in records, are shown as they are and do nothing."""

import base64
import html
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flipkd.report.records import PNG
from flipkd.report.render import _code, html_report, model_card
from flipkd.shown import in_markdown
from report.tracing import Page

NASTY = (
    "</td></table><script>alert(1)</script> | x | `tick` \\| \"onload='y' {{ 7 * 7 }} {% raw %} <img src=x onerror=z> "
    "![a](http://host/a.png) **b** _c_ &amp; 你好\n# head\n---\n| d |"
)
ANY = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
RENDER = MarkdownIt("commonmark", {"html": True}).enable("table").render


@pytest.fixture
def nasty(copy, edit):
    """An artefact whose pairs and records hold texts that try to break out."""

    def spec(found):
        found["base_model"] = NASTY
        found["teacher"]["name"] = NASTY
        found["answer"]["reason"] = NASTY
        found["template"]["prompt"] = NASTY
        found["data"]["train"]["source"] = NASTY

    def figures(found):
        found["cascade"]["reason"] = NASTY
        found["calibration"][NASTY] = {NASTY: 0.5}

    edit("flipkd.json", spec)
    edit("evaluation/metrics.json", figures)
    edit("evaluation/self_check.json", lambda found: found["checks"][0].update(name=NASTY, found=NASTY))
    edit("training/run.json", lambda found: found.update(command=NASTY, student_from="hub"))
    file = copy / "evaluation" / "predictions.parquet"
    table = pq.read_table(file)
    for place, name in enumerate(("text_a", "text_b")):
        table = table.set_column(place, name, pa.array([NASTY] * len(table)))
    pq.write_table(table, file)
    return copy


def test_the_report_has_no_script_and_asks_no_host(nasty):
    page = Page(html_report(nasty))
    assert {name for name, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "h1", "h2", "p", "ul",
        "li", "a", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "img", "figcaption", "pre",
        "code",
    }  # fmt: skip
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("srcset", "style", "action")]
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("href", "#").startswith("#"), tag
    (policy,) = [found["content"] for tag, found in page.tags if "http-equiv" in found]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"url\(|@import", page.text)


def test_the_report_shows_the_texts_as_they_are(nasty):
    shown = [text for _, text in Page(html_report(nasty)).cells]
    # Prompt, names, reasons, source, check and command, and the two texts of each mistake.
    assert shown.count(NASTY) > 10


def test_the_card_keeps_its_tables_and_shows_the_texts(nasty):
    card = model_card(nasty)
    front = card.split("---\n")[1]
    page = RENDER(card.removeprefix(f"---\n{front}---\n"))
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]
    assert cells.count(" ".join(NASTY.split())) >= 7
    tables = re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    assert len(tables) == 6
    for table in tables:
        assert len({len(re.findall(r"<t[dh]", row)) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)}) == 1
    assert "<script" not in page
    assert set(re.findall(r'<img src="(.*?)"', page)) == {
        "evaluation/precision_recall.png",
        "evaluation/reliability.png",
    }


def test_the_front_matter_stays_yaml_whatever_the_base_is_called(nasty):
    front = yaml.safe_load(model_card(nasty).split("\n---\n")[0].removeprefix("---\n"))
    assert front["base_model"] == NASTY
    assert front["library_name"] == "peft"


@given(ANY)
def test_markdown_shows_any_text_in_a_cell_of_a_table(text):
    page = RENDER(f"| h | i |\n|---|---|\n| {in_markdown(text)} | end |\n")
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]
    assert cells == [" ".join(text.split()), "end"]


@given(ANY.filter(str.strip))
def test_a_code_span_holds_any_text_in_a_cell_of_a_table(text):
    page = RENDER(f"| h | i |\n|---|---|\n| {_code(text)} | end |\n")
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]
    assert cells == [f"<code>{' '.join(text.split())}</code>", "end"]


def test_half_a_surrogate_pair_can_be_written(copy, edit):
    edit("flipkd.json", lambda found: found["answer"].update(reason="a \ud800 b"))
    assert "a ? b" in html_report(copy)
    assert "a ? b" in model_card(copy)


@pytest.mark.parametrize("content", [b"a key", PNG + b"a key"], ids=["no picture", "another's picture"])
def test_a_link_in_a_pictures_place_is_not_inlined(copy, tmp_path, content):
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    picture = copy / "evaluation" / "roc.png"
    picture.unlink()
    picture.symlink_to(secret)
    page = html_report(copy)
    assert "or is a link that leads out of it (<code>evaluation/roc.png</code>)" in page
    assert base64.b64encode(content).decode() not in page
    assert json.loads((copy / "flipkd.json").read_text())["base_model"] in page
