"""The page as such: whole, readable by ear, by phone and on paper."""

import re

import pytest

from flipkd.report.render import html_report
from report.tracing import Page


@pytest.fixture(scope="module")
def page(artefact):
    return Page(html_report(artefact))


def of(page, tag):
    return [attributes for name, attributes in page.tags if name == tag]


def test_every_picture_is_inside_and_says_what_is_to_be_seen(page):
    pictures = of(page, "img")
    assert len(pictures) == 6
    assert len({picture["alt"] for picture in pictures}) == 6
    for picture in pictures:
        assert picture["src"].startswith("data:image/png;base64,")
        assert len(picture["alt"].split()) > 15


def test_every_table_has_a_caption_and_scopes(page):
    assert len(of(page, "table")) == len(of(page, "caption")) == len(of(page, "thead")) > 10
    assert {header["scope"] for header in of(page, "th")} == {"col", "row"}
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in of(page, "div"))


def test_links_lead_to_sections_and_headings_are_in_order(page):
    targets = {f"#{section['id']}" for section in of(page, "section")}
    assert [link["href"] for link in of(page, "a")] == [f"#{section['id']}" for section in of(page, "section")]
    assert len(targets) == len(of(page, "h2")) == 12
    assert len(of(page, "h1")) == len(of(page, "main")) == len(of(page, "title")) == 1
    assert of(page, "html") == [{"lang": "en"}]


def test_it_fits_phones_and_paper_and_both_schemes(page):
    assert any(found.get("name") == "viewport" for found in of(page, "meta"))
    for rule in ("@media print", "@media (prefers-color-scheme: dark)", "overflow-x: auto", "img { max-width: 100%"):
        assert rule in page.text


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_stand_out_from_the_paper_in_each_scheme(page):
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", rule)) for rule in re.findall(r":root \{(.*?)\}", page.text)]
    assert len(schemes) == 3
    for scheme in schemes:
        for name in ("ink", "quiet", "beware", "link"):
            dark, light = sorted((luminance(scheme[name]), luminance(scheme["paper"])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, scheme)
