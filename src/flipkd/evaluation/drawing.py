"""What all pictures share: the figure, the colours, the file.

Figures are made without pyplot, so nothing needs a display and no state is shared between threads. Colours
are Okabe and Ito's, told apart with any colour vision, and never the only sign: lines also differ in dash,
points in shape.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")


def canvas(columns: int = 1, rows: int = 1, *, wide: float = 5.5, high: float = 4.5) -> "tuple[Figure, list[Axes]]":
    """A figure and its axes in reading order, `wide` by `high` inches each.

    Raises:
        FlipkdError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FlipkdError("Plots need matplotlib; install it with: pip install 'flipkd[plots]'") from error
    figure = Figure(figsize=(wide * columns, high * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    return figure, axes


def style(position: int) -> dict[str, Any]:
    """Colour and dash of the line at a position of the legend."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position % len(DASHES)]}


def save(figure: "Figure", path: Path) -> "Figure":
    """Write the figure as PNG at 120 dots per inch."""
    figure.savefig(path, format="png", dpi=120)
    return figure
