"""What flipkd says while it works. Everything goes to standard error, so that output can be piped."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flipkd.shown import in_terminal

T = TypeVar("T")

console = Console(stderr=True, highlight=False, emoji=False)


def announce(what: str, choice: object, reason: str) -> None:
    """Print one automatic choice with the reason for it.

    Args:
        what: The thing chosen, such as ``dtype``.
        choice: What was chosen.
        reason: Why, in a few words.
    """
    console.print(f"[bold]{_lines(what)}[/bold]: {_lines(str(choice))} [dim]({_lines(reason)})[/dim]")


_warned: set[str] = set()


def warn(message: str, *, key: str | None = None) -> None:
    """Print a warning that does not stop the work, once.

    Args:
        message: The warning.
        key: What counts as the same warning, where the words differ by a count; by default the words.
    """
    if (key or message) in _warned:
        return
    _warned.add(key or message)
    console.print(f"[yellow]warning:[/yellow] {_lines(message)}")


def _lines(text: str) -> str:
    return "\n".join(map(in_terminal, text.split("\n")))


def progress_bar() -> Progress:
    """A progress bar with count, time spent and time left, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Yield `items` behind a progress bar.

    Args:
        items: What to go through.
        description: The words beside the bar.
        total: The number of items, where `items` has no length.
    """
    with progress_bar() as progress:
        yield from progress.track(items, description=description, total=total)
