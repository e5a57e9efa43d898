"""Options from words and YAML: dashes, switches, the first word, and what is refused."""

import re
from dataclasses import dataclass, field, make_dataclass

import pytest

from flipkd.cli import data
from flipkd.cli.options import parse
from flipkd.errors import FlipkdError


@dataclass
class Inner:
    """Nested settings."""

    epochs: float = 2.0
    """Passes."""
    mixed_precision: bool = False
    """A nested switch."""


@dataclass
class Outer:
    """Settings."""

    text_file: str = ""
    """A file."""
    keep_teacher: bool = False
    """A switch."""
    baseline: bool = True
    """A switch that is on."""
    rank: int = 32
    """A number."""
    words: tuple[str, str] = (" no", " yes")
    """Two words."""
    report_to: list[str] = field(default_factory=list)
    """A list."""
    modules: list[str] | None = None
    """A list, or none."""
    inner: Inner = field(default_factory=Inner)
    """Nested."""


def outer(*words):
    return parse(Outer, "flipkd test", list(words))


def test_nothing_given_is_the_defaults():
    assert outer() == Outer()


@pytest.mark.parametrize("words", [["--text-file", "a-b.csv"], ["--text_file", "a-b.csv"], ["--text-file=a-b.csv"]])
def test_dashes_and_underscores_in_names_are_one_and_values_stay(words):
    assert outer(*words).text_file == "a-b.csv"


def test_a_value_may_hold_an_equals_sign_and_dashes():
    assert outer("--text-file=a=b--c").text_file == "a=b--c"


@pytest.mark.parametrize("behind", [[], ["--rank", "4"], ["--baseline"]])
def test_a_lone_switch_is_true(behind):
    assert outer("--keep-teacher", *behind).keep_teacher is True


def test_a_switch_takes_a_value():
    assert outer("--baseline", "false").baseline is False
    assert outer("--baseline=false").baseline is False


def test_nested_settings_by_dots_with_switches():
    made = outer("--inner.epochs", "3", "--inner.mixed-precision", "--keep-teacher")
    assert made.inner == Inner(epochs=3.0, mixed_precision=True)
    assert made.keep_teacher is True


@pytest.mark.parametrize("kind", [dict[str, str], dict[str, str] | None])
def test_the_key_of_a_dictionary_keeps_its_dashes(kind):
    options = make_dataclass("Served", [("by_name", kind, None)])
    made = parse(options, "flipkd", ["--by-name.my-model", "runs/y"])
    assert made.by_name == {"my-model": "runs/y"}


@pytest.mark.parametrize(
    "text", ["#1 String", "~", "null", "#", "Question: A", "{", "ä 😀", r"\t", "\t", "1.5", '"x"', " "]
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_text_is_taken_as_it_is_written(text, joined):
    """Also where YAML would read nothing, a number or a mapping."""
    options = make_dataclass("Read", [("delimiter", str | None, None), ("columns", dict[str, str] | None, None)])

    def words(name):
        return [f"--{name}={text}"] if joined else [f"--{name}", text]

    made = parse(options, "flipkd", [*words("columns.text_a"), *words("delimiter"), *words("columns.label")])
    assert made.columns == {"text_a": text, "label": text}
    assert made.delimiter == text


def test_lists_as_yaml():
    made = outer("--words", '[" 否", " 是"]', "--report-to", "[tensorboard]")
    assert made.words == (" 否", " 是")
    assert made.report_to == ["tensorboard"]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("1", ["1"]),
        ("pin", ["pin"]),
        ("[1, 007]", ["1", "007"]),
        ("'1'", ["'1'"]),
        ("[no]", ["no"]),
        ("@pin", ["@pin"]),
        ("*x", ["*x"]),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_lists_of_texts_need_no_brackets_for_one_and_hold_texts_alone(given, taken, joined):
    words = [f"--report-to={given}"] if joined else ["--report-to", given]
    assert outer(*words).report_to == taken


def test_no_list_can_be_asked_for():
    assert outer("--modules", "q").modules == ["q"]
    assert outer("--modules", "q", "--modules", "null").modules is None


def test_the_first_word_is_the_file():
    made = parse(data.Options, "flipkd data check", ["pairs.csv", "--against.test", "t.csv", "--against.dev=d.csv"])
    assert made.file == "pairs.csv"
    assert made.against == {"test": "t.csv", "dev": "d.csv"}
    assert parse(data.Options, "flipkd data check", ["--labelled", "false", "--file", "p.csv"]).file == "p.csv"


def test_a_flag_behind_the_yaml_wins(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("rank: 8\nkeep_teacher: true\ninner:\n  epochs: 5\n")
    made = outer("--config", str(file), "--rank", "16")
    assert made.rank == 16
    assert made.keep_teacher is True
    assert made.inner == Inner(epochs=5.0)


@pytest.mark.parametrize(
    "words",
    [
        ["--rank", "many"],
        ["--rank", "1.5"],
        ["--keep-teacher", "perhaps"],
        ["--words", "[a]"],
        ["--no-such-option", "1"],
        ["stray"],
        ["--config", "missing.yaml"],
    ],
)
def test_what_does_not_fit_is_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        outer(*words)
    assert stopped.value.code == 2
    assert "flipkd test --help" in capsys.readouterr().err


def test_an_unknown_name_in_yaml_is_wrong_usage(tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text("rnak: 8\n")
    with pytest.raises(SystemExit) as stopped:
        outer("--config", str(file))
    assert stopped.value.code == 2
    assert "rnak" in capsys.readouterr().err


def test_help_shows_each_fields_docstring(capsys):
    with pytest.raises(SystemExit) as stopped:
        outer("--keep-teacher", "-h")
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "A switch that is on." in said
    assert "--inner.epochs" in said


def test_what_was_given_is_printed_as_a_config_that_gives_it_again(tmp_path, capsys):
    options = make_dataclass("Read", [("delimiter", str | None, None), ("columns", dict[str, str] | None, None)])
    with pytest.raises(SystemExit):
        parse(options, "flipkd", ["--delimiter", ";", "--columns.text_a", "frage 1", "--print_config"])
    (tmp_path / "c.yaml").write_text(capsys.readouterr().out)
    again = parse(options, "flipkd", ["--config", str(tmp_path / "c.yaml")])
    assert (again.delimiter, again.columns) == (";", {"text_a": "frage 1"})


def test_home_is_found_however_a_path_is_given_and_a_text_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = field(default="", metadata={"any_text": True})
    named = field(default_factory=dict)
    options = make_dataclass(
        "Paths", [("output", str | None, None), ("query", str, text), ("against", dict[str, str], named)]
    )
    (tmp_path / "c.yaml").write_text("output: ~/x/r.html\n")
    for words in (["--output=~/x/r.html"], ["--config", str(tmp_path / "c.yaml")]):
        assert parse(options, "flipkd", words).output == str(tmp_path / "x" / "r.html")
    kept = make_dataclass("Kept", [("cache_dir", str, "~/.cache")])
    assert parse(kept, "flipkd", []).cache_dir == "~/.cache"
    assert parse(options, "flipkd", ["--against.test=~/t.csv"]).against == {"test": str(tmp_path / "t.csv")}
    assert parse(options, "flipkd", ["--query", "~/x is what?"]).query == "~/x is what?"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_config_of_another_encoding_is_one_error(tmp_path, encoding):
    (tmp_path / "c.yaml").write_bytes("delimiter: ä\n".encode(encoding))
    options = make_dataclass("Read", [("delimiter", str | None, None)])
    file = str(tmp_path / "c.yaml")
    for words in (["--config", file], [f"--config={file}"]):
        with pytest.raises(FlipkdError, match=f"^{re.escape(file)}: the file of --config is not UTF-8"):
            parse(options, "flipkd", words)
