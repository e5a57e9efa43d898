"""Any text, shown: in a terminal and in Markdown (tests/report/test_escaping.py has the latter)."""

import unicodedata
from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flipkd.console import announce
from flipkd.shown import in_terminal


def printed(text):
    console = Console(
        file=StringIO(), width=10_000, force_terminal=True, color_system=None, highlight=False, emoji=False
    )
    console.print(in_terminal(text), soft_wrap=True, end="")
    return console.file.getvalue()


@given(st.text(max_size=40))
def test_no_text_steers_a_terminal(text):
    assert not [c for c in printed(text) if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") or c in "\u202e\u2066"]


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=40))
def test_other_texts_are_printed_as_they_are(text):
    doubled = text + "\\" if text.endswith("\\") else text
    assert printed(text) in (text, doubled)


def test_markup_of_rich_is_no_markup():
    assert printed("[bold]PIN[/bold] [link=x]") == "[bold]PIN[/bold] [link=x]"


def test_no_code_of_an_emoji_is_turned_into_one(capsys):
    announce("file", "notes:100:5.csv", "ratio 1:100:5, fd00:a:b:c")
    said = capsys.readouterr().err
    assert "notes:100:5.csv" in said
    assert "ratio 1:100:5, fd00:a:b:c" in said
