"""How well values tell matches from non-matches, at a threshold frozen elsewhere."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from flipkd.evaluation.checks import both_classes, finite


@dataclass(frozen=True)
class Metrics:
    """One row of the table; every number is over the same n pairs."""

    f1: float
    """F1 of the matches at `threshold`."""
    accuracy: float
    """Share of pairs decided rightly at `threshold`."""
    precision: float
    """Share of true matches among the pairs called a match; 0 if none is called one."""
    recall: float
    """Share of the matches that were called one."""
    ap: float
    """Average precision, over all thresholds."""
    auc: float
    """Area under the ROC curve, over all thresholds."""
    threshold: float
    """A pair is a match when its value is at least this."""
    n: int
    """Number of pairs."""
    spearman_teacher: float | None = None
    """Rank correlation with the teacher's similarity; None without one, or where either side is constant."""

    def as_dict(self) -> dict[str, float | int | None]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def rank_correlation(value: ArrayLike, teacher_similarity: ArrayLike) -> float | None:
    """Spearman's correlation, ties ranked by their mean.

    Args:
        value: (n,) numbers.
        teacher_similarity: (n,) cosines.

    Returns:
        A number in [-1, 1]; None if either side is constant (n = 1 too), where ranks say nothing.

    Raises:
        FlipkdError: If a number is not finite.
    """
    from scipy.stats import spearmanr

    left, right = finite(value, "values"), finite(teacher_similarity, "teacher's similarities")
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(spearmanr(left, right).statistic)


def measure(
    value: ArrayLike, label: ArrayLike, threshold: float, teacher_similarity: ArrayLike | None = None
) -> Metrics:
    """Measure values against labels. The threshold is given, never fitted here.

    Tied values stand at one threshold together, so their order in the file changes nothing.

    Args:
        value: (n,) log-odds, similarities or probabilities: anything that grows with the match.
        label: (n,) 0 or 1, both present.
        threshold: A match is a value >= this.
        teacher_similarity: (n,) cosines of the teacher, for `Metrics.spearman_teacher`.

    Raises:
        FlipkdError: If a value is not finite, or the labels are of one class.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    values = finite(value, "values")
    labels = both_classes(label, len(values))
    called, match = values >= threshold, labels == 1
    hits, false_alarms, misses = (
        int((called & match).sum()),
        int((called & ~match).sum()),
        int((~called & match).sum()),
    )
    return Metrics(
        f1=2 * hits / (2 * hits + false_alarms + misses),
        accuracy=float((called == match).mean()),
        precision=hits / max(hits + false_alarms, 1),
        recall=hits / (hits + misses),
        ap=float(average_precision_score(labels, values)),
        auc=float(roc_auc_score(labels, values)),
        threshold=float(threshold),
        n=len(values),
        spearman_teacher=None if teacher_similarity is None else rank_correlation(values, teacher_similarity),
    )
