import io
import json

import numpy as np
import pytest
from rich.console import Console

from flipkd.data.report import Hidden, Lengths, Shared, Truncation, check
from flipkd.data.table import PairTable


def made(rows, labelled=True):
    a, b, label = (list(side) for side in zip(*rows, strict=True))
    return PairTable(a, b, np.asarray(label) if labelled else None, "x[1].csv", list(range(2, len(a) + 2)), {})


ROWS = [
    ("pay", "bill", 1),
    ("bill", "pay", 1),  # a duplicate, turned round
    ("pay", "bill", 0),  # a contradiction
    ("card", "card", 0),  # equal texts, said not to match
    ("loan", "loan", 1),
    ("", "x\u200by", 0),
    ("a\x07 b", "one two three four", 0),
]


def words(texts):
    return [len(text.split()) for text in texts]


def test_counts():
    report = check(made(ROWS), {}, None, None)
    assert (report.rows, report.distinct_texts) == (7, 8)
    assert (report.matches, report.non_matches) == (3, 4)
    assert report.duplicates == 1
    assert (report.contradictions, report.contradiction_lines) == (1, ((4, 2),))
    assert (report.identical, report.identical_non_matches) == (2, 1)
    assert report.empties == 1
    assert report.control == Hidden(1, 8, "U+0007 CONTROL CHARACTER")
    assert report.zero_width == Hidden(1, 7, "U+200B ZERO WIDTH SPACE")
    assert report.lengths is report.truncation is None


@pytest.mark.parametrize("code", [0, 0x1F, 0x7F, 0x200B, 0x202A, 0x202E, 0x2066, 0x2069, 0xFEFF])
def test_a_character_nobody_sees_is_counted_and_named_at_its_first_line(code):
    text = f"a{chr(code)}b"
    table = made([("x", "tab\t, end\r\n", 1), ("x", text, 1), (text, text + "c", 0)])
    report = check(table, {}, None, None)
    held, other = (report.control, report.zero_width) if code < 0x80 else (report.zero_width, report.control)
    assert (held.texts, held.line, other.texts) == (2, 3, 0)
    assert held.character.startswith(f"U+{code:04X} ")
    assert table.text_b[1] == text


def test_unlabelled_pairs_have_no_contradictions():
    report = check(made(ROWS, labelled=False), {}, None, None)
    assert (report.matches, report.non_matches, report.identical_non_matches) == (None, None, None)
    assert (report.duplicates, report.contradictions) == (2, 0)


def test_tokens_are_counted_once_per_distinct_text():
    asked = []

    def count(texts):
        asked.extend(texts)
        return words(texts)

    report = check(made(ROWS), {}, count, 2)
    assert len(asked) == len(set(asked)) == 8
    assert report.lengths["text_a"] == Lengths(0, 1.0, pytest.approx(1.7), 2)
    assert report.lengths["text_b"].maximum == 4
    assert report.truncation == Truncation(2, 1, 1 / 8, 1)


def test_texts_shared_with_other_splits_go_by_their_key():
    others = {"test": made([("ＢＩＬＬ ", "new", 1)]), "validation": made([("old", "new", 1)])}
    report = check(made(ROWS), others, None, None)
    assert report.shared == {"test": Shared(1, 3, 3 / 7), "validation": Shared(0, 0, 0.0)}


def test_the_report_prints_and_is_plain_json():
    report = check(made(ROWS), {"test": made(ROWS)}, words, 2)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.render())
    shown = console.export_text()
    parts = ("x[1].csv", "line 4 says 0", "1 of them labelled 0", "texts shared with test", "cut at 2 tokens")
    for part in (*parts, "line 7: U+200B ZERO WIDTH SPACE"):
        assert part in shown
    assert json.loads(json.dumps(report.as_dict()))["shared"]["test"]["rows"] == 7
