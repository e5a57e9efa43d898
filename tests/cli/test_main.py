"""The command line's frame: statuses, messages, and what it does not load."""

import io
import subprocess
import sys

import pytest

from flipkd.cli import data, distill, main
from flipkd.errors import FlipkdError


@pytest.fixture
def check_that_raises(monkeypatch):
    """Make `flipkd data check` end in a given exception."""

    def arrange(error):
        def run(options):
            raise error

        monkeypatch.setattr(data, "run", run)

    return arrange


@pytest.mark.parametrize("words", [["dance"], ["data"], ["data", "mend"], ["--nope"]])
def test_an_unknown_command_lists_those_there_are(words, capsys):
    assert main.main(words) == 2
    said = capsys.readouterr().err
    assert repr(" ".join(words)) in said
    assert all(" ".join(name) in said for name in main.COMMANDS)


def test_texts_that_the_terminals_encoding_lacks_are_shown_by_their_escapes(artefact, tmp_path, monkeypatch):
    """As where output goes to a file on a system whose encoding is not UTF-8."""
    (tmp_path / "pairs.csv").write_text("text_a,text_b\nreset 卡,lost card\n", encoding="utf-8")
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    assert main.main(["inspect", "--model", str(artefact), "--pairs", str(tmp_path / "pairs.csv")]) == 0
    sys.stdout.flush()
    assert b"label words" in shown.getvalue()


def test_help_and_version_go_to_standard_output(capsys):
    assert main.main(["--help"]) == 0
    assert main.main([]) == 0
    assert capsys.readouterr().out.count("usage: flipkd COMMAND") == 2
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == main.__version__


def test_a_users_error_is_one_line_without_a_traceback(check_that_raises, capfd):
    message = "pairs.csv, line 7: a text is [bold]empty[/bold]. " + "Fill it. " * 40
    check_that_raises(FlipkdError(message.strip()))
    assert main.main(["data", "check", "pairs.csv"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == f"error: {message.strip()}\n"


def test_a_setting_that_cannot_be_is_a_users_error(capfd):
    assert main.main(["distill", "--tau-p", "0.5"]) == 1
    assert capfd.readouterr().err == "error: Set both of tau_p and tau_n, or neither.\n"


def test_a_bug_is_not_hidden(check_that_raises):
    check_that_raises(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main.main(["data", "check", "pairs.csv"])


def test_ctrl_c_gives_130_without_a_promise_to_resume(check_that_raises, capfd):
    check_that_raises(KeyboardInterrupt())
    assert main.main(["data", "check", "pairs.csv"]) == 130
    assert capfd.readouterr().err == "Interrupted.\n"


def test_ctrl_c_in_distill_says_that_it_resumes(monkeypatch, capfd):
    def run(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(distill, "run", run)
    assert main.main(["distill"]) == 130
    assert "The same command goes on" in capfd.readouterr().err


@pytest.mark.parametrize(
    "code",
    [
        "import flipkd",
        "from flipkd.cli.main import main; main(['--help'])",
        "from flipkd.cli.main import main; main(['dance'])",
    ],
)
def test_the_frame_loads_nothing_heavy(code):
    heavy = ("torch", "transformers", "sentence_transformers", "datasets", "sklearn", "scipy", "pyarrow", "numpy")
    check = f"import sys; print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", f"{code}; {check}"], capture_output=True, text=True, check=True)
    assert found.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["index", "--help"], ["data", "-h"]])
def test_the_first_word_of_two_explains_its_commands(words, capsys):
    assert main.main(words) == 0
    said = capsys.readouterr().out
    assert f"usage: flipkd {words[0]} COMMAND" in said
    assert all((f"\n  {' '.join(name)} " in said) == (name[0] == words[0]) for name in main.COMMANDS)
