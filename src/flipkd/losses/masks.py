"""Which pairs are trusted: the dual threshold and the labels (docs/method.md section 4).

The paper states the two thresholds; how they meet the labels is our reading. tau_n < tau_p always. Each
function gives the sets P (trusted positives) and N (trusted negatives) as boolean masks; an entry in neither
is dropped. An unknown (NaN) similarity of the teacher is in neither.
"""

from torch import Tensor


def label_sets(teacher: Tensor, label: Tensor, tau_p: float, tau_n: float) -> tuple[Tensor, Tensor]:
    """Sets by label, with the teacher's veto (our reading: the first two rows of section 4's table).

    A match is kept where T >= tau_n and a non-match where T <= tau_p; elsewhere the teacher contradicts
    the label.

    Args:
        teacher: T, cosines, any shape.
        label: 0 or 1, the same shape; any other value is in neither set.
        tau_p: Floor of trusted positives.
        tau_n: Ceiling of trusted negatives.

    Returns:
        Masks of P and N, bool, the shape of `teacher`.
    """
    return (label == 1) & (teacher >= tau_n), (label == 0) & (teacher <= tau_p)


def threshold_sets(teacher: Tensor, tau_p: float, tau_n: float) -> tuple[Tensor, Tensor]:
    """Sets by the teacher's thresholds alone: T >= tau_p and T <= tau_n.

    Nearer to the paper's words than `label_sets`, and hands no label to the encoder if the teacher's
    similarities are out of fold.

    Args:
        teacher: T, cosines, any shape.
        tau_p: Floor of trusted positives.
        tau_n: Ceiling of trusted negatives.

    Returns:
        Masks of P and N, bool, the shape of `teacher`.
    """
    return teacher >= tau_p, teacher <= tau_n


def matrix_sets(
    teacher: Tensor,
    known_label: Tensor,
    same_text: Tensor,
    tau_p: float,
    tau_n: float,
    random_ceiling: float,
) -> tuple[Tensor, Tensor]:
    """Sets over every a_i with every b_j, for preset `paper` (our reading: the whole of section 4's table).

    An entry with a known label takes the rule of `label_sets`. One without is a positive where T >= tau_p
    and T > `random_ceiling`, a negative where T <= tau_n. Equal texts are in neither set: their similarity
    is 1 whatever the student does.

    Args:
        teacher: T, (N, N) cosines.
        known_label: (N, N) int: 0 or 1 where the two texts are labelled anywhere in the data (the diagonal
            holds the batch's own labels), -1 elsewhere.
        same_text: (N, N) bool: a_i and b_j are the same text.
        tau_p: Floor of trusted positives.
        tau_n: Ceiling of trusted negatives.
        random_ceiling: What 99.9 % of random pairs of the training texts do not exceed.

    Returns:
        Masks of P and N, bool, (N, N).
    """
    labelled_positive, labelled_negative = label_sets(teacher, known_label, tau_p, tau_n)
    sure_positive, sure_negative = threshold_sets(teacher, tau_p, tau_n)
    unknown = known_label < 0
    positive = labelled_positive | (unknown & sure_positive & (teacher > random_ceiling))
    negative = labelled_negative | (unknown & sure_negative)
    return positive & ~same_text, negative & ~same_text
