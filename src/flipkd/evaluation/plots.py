"""The pictures of the artefact, as PNG files. Needs the extra ``plots`` (matplotlib).

Every function writes its file and returns the figure it drew.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flipkd.evaluation.calibration import BINS, reliability_points
from flipkd.evaluation.cascade_curve import Point
from flipkd.evaluation.checks import both_classes, finite
from flipkd.evaluation.drawing import COLOURS, canvas, save, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATCH, OTHER = COLOURS[0], COLOURS[1]
# Beyond this the lines of the map hide each other.
MAP_PAIRS = 200


def precision_recall(path: Path, label: ArrayLike, values: Mapping[str, ArrayLike]) -> "Figure":
    """Precision over recall at every threshold, one line per method, with its average precision.

    Args:
        path: The PNG file.
        label: (n,) 0 or 1, both present.
        values: (n,) numbers that grow with the match, by method.

    Raises:
        FlipkdError: If a value is not finite, the labels are of one class, or matplotlib is missing.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure, (axes,) = canvas()
    labels = both_classes(label, len(np.asarray(label)))
    for position, (name, value) in enumerate(values.items()):
        numbers = finite(value, name)
        precision, recall, _ = precision_recall_curve(labels, numbers)
        area = average_precision_score(labels, numbers)
        # Average precision is the area under these steps, not under straight lines between the points.
        axes.step(recall, precision, where="post", label=f"{name} (AP {area:.3f})", **style(position))
    base = labels.mean()
    axes.axhline(base, color="grey", linewidth=0.8, label=f"all called a match ({base:.3f})")
    axes.set(
        title=f"Precision and recall, {len(labels)} pairs",
        xlabel="recall (share of the matches found)",
        ylabel="precision (share of true matches)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.legend(loc="lower left", fontsize="small")
    return save(figure, path)


def roc(path: Path, label: ArrayLike, values: Mapping[str, ArrayLike]) -> "Figure":
    """True over false matches at every threshold, one line per method; arguments as `precision_recall`."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, (axes,) = canvas()
    labels = both_classes(label, len(np.asarray(label)))
    for position, (name, value) in enumerate(values.items()):
        numbers = finite(value, name)
        false, true, _ = roc_curve(labels, numbers)
        axes.plot(false, true, label=f"{name} (AUC {roc_auc_score(labels, numbers):.3f})", **style(position))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="chance")
    axes.set(
        title=f"ROC curve, {len(labels)} pairs",
        xlabel="share of non-matches called a match",
        ylabel="share of matches called a match",
        xlim=(-0.01, 1),
        ylim=(0, 1.01),
    )
    axes.legend(loc="lower right", fontsize="small")
    return save(figure, path)


def reliability(path: Path, label: ArrayLike, probabilities: Mapping[str, ArrayLike], bins: int = BINS) -> "Figure":
    """Share of true matches over the predicted probability, and how many pairs stand behind each point, side by side.

    Bins hold equally many pairs, so each point is about as sure as the next; the bars are one standard
    error. The titles give the mean gap to the diagonal over the bins (expected calibration error).

    Args:
        path: The PNG file.
        label: (n,) 0 or 1, both present.
        probabilities: (n,) in [0, 1] by name, such as before and after calibration; a column each.
        bins: How many points, at most one per pair.

    Raises:
        FlipkdError: If a value is not finite, the labels are of one class, or matplotlib is missing.
    """
    figure, panels = canvas(columns=len(probabilities), rows=2, high=3.2)
    for position, (name, probability) in enumerate(probabilities.items()):
        axes, below = panels[position], panels[position + len(probabilities)]
        said, seen, pairs = reliability_points(probability, label, bins)
        gap = float(np.abs(said - seen) @ pairs / pairs.sum())
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="perfectly calibrated")
        axes.errorbar(
            said,
            seen,
            yerr=np.sqrt(seen * (1 - seen) / pairs),
            color=MATCH,
            marker="o",
            capsize=2,
            label=f"{pairs.sum():.0f} pairs",
        )
        axes.set(
            title=f"{name}: calibration error {gap:.3f}",
            xlabel="predicted probability of a match",
            ylabel="share of true matches",
            xlim=(0, 1),
            ylim=(-0.02, 1.02),
        )
        axes.legend(loc="upper left", fontsize="small")
        below.hist(np.asarray(probability), bins=20, range=(0, 1), color=MATCH)
        below.set(xlabel="predicted probability of a match", ylabel="pairs", xlim=(0, 1))
    return save(figure, path)


def similarity_histograms(path: Path, label: ArrayLike, before: ArrayLike, after: ArrayLike) -> "Figure":
    """The encoder's similarities of matches and non-matches, before and after training.

    Args:
        path: The PNG file.
        label: (n,) 0 or 1, both present.
        before: (n,) cosines before training.
        after: (n,) cosines after it.

    Raises:
        FlipkdError: If a value is not finite, the labels are of one class, or matplotlib is missing.
    """
    figure, axes = canvas(columns=2)
    sides = {
        "before training": finite(before, "similarities"),
        "after training": finite(after, "similarities"),
    }
    labels = both_classes(label, len(sides["before training"]))
    low = min(0.9, *(values.min() for values in sides.values()))
    # One grid for both, so that the two pictures can be compared bar by bar.
    edges = np.linspace(low, max(1.0, *(values.max() for values in sides.values())), 41).tolist()
    for each, (when, values) in zip(axes, sides.items(), strict=True):
        each.hist(values[labels == 0], edges, color=OTHER, alpha=0.55, label="non-matches")
        each.hist(values[labels == 1], edges, color=MATCH, histtype="step", linewidth=1.6, label="matches")
        each.set(title=f"Encoder {when}", xlabel="cosine similarity of the two texts", ylabel="pairs")
        each.legend(fontsize="small")
    return save(figure, path)


def cascade_curve(path: Path, points: Sequence[Point], measured: str) -> "Figure":
    """What the cascade saves against what it changes, a point for each share of decisions that may change.

    Three lines: validation, on which the bands are fitted and which flatters; validation with the band of one
    half measured on the other; and the measured pairs.

    Args:
        path: The PNG file.
        points: Of `flipkd.evaluation.cascade_curve.speed_curve`.
        measured: The name of the measured split.

    Raises:
        FlipkdError: If matplotlib is missing.
    """
    figure, (axes,) = canvas()
    lines = {
        "validation, fitted there": [(point.skipped, point.changed) for point in points],
        "validation, other half": [(point.skipped, point.changed_held_out) for point in points],
        measured: [(point.measured_skipped, point.measured_changed) for point in points],
    }
    for position, (name, line) in enumerate(lines.items()):
        skipped, changed = 100 * np.array(line).T
        axes.plot(skipped, changed, label=name, marker="o", markersize=4, **style(position))
    # Points that fall on one place would write over each other: the last of them, which allows most, speaks.
    for (skipped, changed), allowed in {(point.skipped, point.changed): point.allowed for point in points}.items():
        axes.annotate(
            f"{allowed:.1%}",
            (100 * skipped, 100 * changed),
            xytext=(2, -10),
            textcoords="offset points",
            fontsize="x-small",
        )
    axes.set(
        title="Cascade: speed against loss, by what may change",
        xlabel="pairs that skip the decoder (%)",
        ylabel="decisions that change (%)",
        xlim=(0, 105),
    )
    axes.legend(loc="upper left", fontsize="small")
    return save(figure, path)


def _flatten(vectors_a: NDArray[np.floating], vectors_b: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """The (2n, 2) principal components of both sides together, and the share of the variance they hold."""
    from sklearn.decomposition import PCA

    both = np.concatenate([vectors_a, vectors_b]).astype(np.float64)
    # Vectors of one number, of --lora-rank 1 at one site, get a second that is 0.
    both = np.pad(both, ((0, 0), (0, max(0, 2 - both.shape[1]))))
    model = PCA(n_components=2, svd_solver="full")
    # A collapsed encoder's vectors are all equal: no variance to share, and 0 / 0 in the shares.
    with np.errstate(invalid="ignore"):
        points = model.fit_transform(both)
    return points, float(np.nan_to_num(model.explained_variance_ratio_.sum()))


def vector_map(
    path: Path,
    label: ArrayLike,
    before: tuple[NDArray[np.floating], NDArray[np.floating]],
    after: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> "Figure":
    """The texts' vectors on their first two principal components, each pair joined by a line.

    Short lines for matches and long ones for non-matches are what training is after. Of more than 200
    pairs, 200 evenly spaced ones are drawn; the components are always those of all.

    Args:
        path: The PNG file.
        label: (n,) 0 or 1, both present.
        before: The vectors of the a's and the b's before training, (n, d) each with d >= 2.
        after: Likewise after training; d may differ.

    Raises:
        FlipkdError: If the labels are of one class, or matplotlib is missing.
    """
    figure, axes = canvas(columns=2)
    n = len(before[0])
    labels = both_classes(label, n)
    drawn = np.unique(np.linspace(0, n - 1, min(n, MAP_PAIRS)).astype(int))
    for each, when, (vectors_a, vectors_b) in zip(axes, ("before", "after"), (before, after), strict=True):
        points, share = _flatten(vectors_a, vectors_b)
        for value, name, colour, marker in ((0, "non-match", OTHER, "x"), (1, "match", MATCH, "o")):
            rows = drawn[labels[drawn] == value]
            ends = np.stack([points[rows], points[rows + n]])
            each.plot(ends[:, :, 0], ends[:, :, 1], color=colour, alpha=0.35, linewidth=0.8)
            each.plot(*ends.reshape(-1, 2).T, marker, color=colour, markersize=3, label=f"text of a {name}")
        each.set(
            title=f"Vectors {when} training, {len(drawn)} of {n} pairs",
            xlabel="first principal component",
            ylabel=f"second (both: {share:.0%} of the variance)",
        )
        each.legend(fontsize="small")
    return save(figure, path)
