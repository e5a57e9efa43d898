"""The pictures of an artefact, and what is to be seen in them."""

from typing import NamedTuple

from flipkd.report.contents import METRICS_FILE
from flipkd.report.records import Records


class Picture(NamedTuple):
    """One picture of the artefact.

    Attributes:
        file: Relative to the artefact.
        title: What it is.
        text: What is to be seen, for those who cannot see it.
    """

    file: str
    title: str
    text: str


RELIABILITY = Picture(
    "evaluation/reliability.png",
    "Reliability",
    "Share of true matches over the predicted probability, before calibration and after it, with bars of one standard "
    "error. The nearer a line to the diagonal, the more a probability means what it says. Below: how many pairs get "
    "which probability.",
)
PRECISION_RECALL = Picture(
    "evaluation/precision_recall.png",
    "Precision and recall",
    "Precision over recall at every threshold, a line a method. The nearer a line to the upper right corner, the "
    "better the method; the flat grey line is what calling everything a match gives.",
)
CASCADE = Picture(
    "evaluation/cascade.png",
    "Cascade: speed against loss",
    "Share of decisions that change over the share of pairs that skip the decoder, a line each for validation, for "
    "validation's other half, and for the measured pairs. The lower a line runs, the less speed costs.",
)
EVALUATION = (
    PRECISION_RECALL,
    Picture(
        "evaluation/roc.png",
        "ROC curve",
        "Share of matches found over the share of non-matches called a match, a line a method. The nearer a line to "
        "the upper left corner, the better; the grey diagonal is chance.",
    ),
    Picture(
        "evaluation/similarity.png",
        "Similarities before and after training",
        "Two histograms of the encoder's cosine similarities, of matches and of non-matches. After training the two "
        "should overlap less than before.",
    ),
    Picture(
        "evaluation/vectors.png",
        "Vectors before and after training",
        "The texts' vectors on their first two principal components, the two texts of a pair joined by a line. After "
        "training the lines of matches should be short and those of non-matches long.",
    ),
    CASCADE,
)
LOSS = Picture(
    "training/loss.png",
    "Loss",
    "Left: the loss and its weighted terms over the steps of all stages. Right: the norm of each term's gradient, on a "
    "log scale; a term whose line runs far above the others drowns them.",
)


def drawn(records: Records, pictures: tuple[Picture, ...]) -> list[tuple[Picture, str | None]]:
    """The pictures that an artefact should hold, each with its data URI; None where it is not there.

    Args:
        records: The artefact.
        pictures: Of these, that of the cascade is drawn only where there is a curve.
    """
    curve = records.value(METRICS_FILE, "cascade", "curve")
    return [(each, records.picture(each.file)) for each in pictures if each is not CASCADE or curve]
