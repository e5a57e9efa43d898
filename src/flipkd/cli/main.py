"""The command line: `flipkd COMMAND ...`. Only the chosen command's code is imported."""

import io
import sys
from contextlib import suppress
from importlib import import_module

from flipkd import __version__

COMMANDS = {
    ("data", "check"): ("flipkd.cli.data", "Check a file of pairs before anything is trained on it."),
    ("data", "merge"): ("flipkd.cli.merge", "Take relabelled pairs back into the file they came from."),
    ("teacher", "train"): ("flipkd.cli.teacher", "Fine-tune a small encoder on labelled pairs, out of fold."),
    ("distill",): ("flipkd.cli.distill", "Train an LLM to match texts, taught by the small encoder."),
    ("match",): ("flipkd.cli.match", "Answer a file of pairs with a finished run."),
    ("evaluate",): ("flipkd.cli.evaluate", "Measure a finished run on labelled pairs: decisions, bands, calibration."),
    ("compare",): ("flipkd.cli.compare", "Compare two systems on the same pairs: is one really better?"),
    ("errors",): ("flipkd.cli.errors", "List confident mistakes, likely label noise and leaks, to be relabelled."),
    ("report",): ("flipkd.cli.report", "Make the report of a finished run again, from its files alone."),
    ("index", "build"): ("flipkd.cli.index.build", "Build an index of a FAQ, for a finished run."),
    ("index", "search"): ("flipkd.cli.index.search", "Answer queries from an index, or say that nothing does."),
    ("index", "add"): ("flipkd.cli.index.add", "Add entries to an index, and update those that changed."),
    ("index", "remove"): ("flipkd.cli.index.remove", "Remove entries from an index."),
    ("index", "info"): ("flipkd.cli.index.info", "Show an index's settings and size."),
    ("index", "evaluate"): ("flipkd.cli.index.evaluate", "Measure an index on queries whose right entries are known."),
    ("serve",): ("flipkd.cli.serve", "Answer over HTTP with finished runs."),
    ("reproduce",): ("flipkd.cli.reproduce", "Run the experiments behind the tables of results/."),
    ("inspect",): ("flipkd.cli.inspect", "Show the prompt of some pairs id by id, and where the answer is read."),
}


def _list(group: str | None = None) -> str:
    """A line a command, of all or of those that begin with one word."""
    width = max(len(" ".join(words)) for words in COMMANDS) + 2
    shown = {words: summary for words, (_, summary) in COMMANDS.items() if group in (None, words[0])}
    return "\n".join(f"  {' '.join(words):<{width}}{summary}" for words, summary in shown.items())


def _usage() -> str:
    return "\n".join(
        [
            f"flipkd {__version__}: do two texts mean the same?",
            "",
            "usage: flipkd COMMAND [options]",
            "",
            _list(),
            "",
            "flipkd COMMAND --help explains a command's options. Every command takes --config file.yaml with the",
            "same names.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The words after `flipkd`; by default those of the process.

    Returns:
        The exit status: 0, 1 after an error the user can mend, 2 for wrong usage, 130 after Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # A text that the terminal's encoding lacks is shown by its escapes: it must not end the work.
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # Of a stream that was put in another's place.
                stream.reconfigure(errors="backslashreplace")
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage() + "\n")
        return 0
    if words[0] == "--version":
        sys.stdout.write(__version__ + "\n")
        return 0
    for name, (module, _) in COMMANDS.items():
        if tuple(words[: len(name)]) == name:
            return _run(module, " ".join(("flipkd", *name)), words[len(name) :])
    if words[1:2] in (["-h"], ["--help"]) and words[0] in {name[0] for name in COMMANDS}:
        sys.stdout.write(f"usage: flipkd {words[0]} COMMAND [options]\n\n{_list(words[0])}\n")
        return 0
    sys.stderr.write(f"flipkd: there is no command {' '.join(words[:2])!r}\n\n{_usage()}\n")
    return 2


def _run(module: str, prog: str, words: list[str]) -> int:
    from flipkd.console import console
    from flipkd.errors import FlipkdError
    from flipkd.files import disk_fault
    from flipkd.shown import in_terminal

    command = import_module(module)
    place = ""
    try:
        from flipkd.cli.options import parse

        options = parse(command.Options, prog, words)
        place = getattr(options, "output", None) or ""
        command.run(options)
    except KeyboardInterrupt:
        resumes = (
            " The same command goes on from the last checkpoint."
            if prog in ("flipkd distill", "flipkd reproduce")
            else ""
        )
        console.print(f"Interrupted.{resumes}")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        said = str(error) if isinstance(error, FlipkdError) else disk_fault(error, place)
        if said is None:
            raise
        # Not wrapped: a message is one line, whatever the terminal's width, so that it can be searched for.
        console.print(f"[bold red]error:[/bold red] {in_terminal(said)}", soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
