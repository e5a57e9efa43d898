"""The rows of a run's table: every method measured on the same pairs, all fitting done on validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flipkd.data.table import PairTable
from flipkd.evaluation.answer import Answer, fit_answer, threshold_alone
from flipkd.evaluation.metrics import Metrics, measure


class Signal(NamedTuple):
    """One signal on the two splits, (n,) float64 each."""

    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """What a run found.

    Attributes:
        rows: Metrics by method, on test where there is one, else on validation.
        answers: The fitted answers by method, for the methods that have one.
        measured: The name of the split the metrics are of.
        columns: Per-row figures of that split by name, each (n,), for the predictions file.
        signals: What the answers of the flipped student read, by source.
    """

    rows: dict[str, Metrics]
    answers: dict[str, Answer]
    measured: str
    columns: dict[str, np.ndarray]
    signals: dict[str, Signal]


def signal_of(read: Mapping[str, np.ndarray], kind: str, measured: str) -> Signal:
    """One signal on validation and on the measured split.

    Args:
        read: What `StudentRun.read` gave.
        kind: ``log_odds`` or ``similarity``.
        measured: The split beside validation.
    """
    return Signal(read[f"validation_{kind}"], read[f"{measured}_{kind}"])


def lead_of_teacher(teacher: np.ndarray, fine_tuned: np.ndarray, label: np.ndarray) -> tuple[str, str]:
    """Whether the teacher knows more than plain fine-tuning learns: else there is little to gain (docs/lab-log.md).

    Args:
        teacher: (n,) similarities of validation pairs.
        fine_tuned: (n,) log-odds of the fine-tuned student for them.
        label: (n,) 0 or 1, both present.

    Returns:
        What is so, and why: the average precision of both.
    """
    from sklearn.metrics import average_precision_score

    ours, theirs = (float(average_precision_score(label, value)) for value in (teacher, fine_tuned))
    figures = f"AP {ours:.3f} and {theirs:.3f} on validation"
    if ours > theirs:
        return "ahead of plain fine-tuning", f"{figures}; on our sets flipping gained most where it was far ahead"
    return "not ahead of plain fine-tuning", f"{figures}; look whether the answer is, before you use it"


def compare(
    decoders: Mapping[str, Signal],
    encoder: Signal,
    teacher: Signal,
    validation: PairTable,
    measured: PairTable,
    *,
    seed: int,
    name: str,
) -> Comparison:
    """Fit thresholds and answers on validation, freeze them, and measure.

    Args:
        decoders: Log-odds by method: ``zero_shot``, ``flipped`` and, if trained, ``fine_tuned``.
        encoder: The flipped encoder's cosines.
        teacher: The teacher's similarities.
        validation: The pairs everything is fitted on.
        measured: The pairs everything is measured on.
        seed: Of the cross-fitting.
        name: What the measured split is called.
    """
    fitted_on, label = validation.require_labels(), measured.require_labels()
    rows: dict[str, Metrics] = {}
    answers: dict[str, Answer] = {}
    columns = {
        "log_odds": decoders["flipped"].test,
        "similarity": encoder.test,
        "teacher": teacher.test,
    }
    columns |= {name: signal.test for name, signal in decoders.items() if name != "flipped"}

    def by_threshold(method: str, signal: Signal) -> None:
        threshold = threshold_alone(signal.validation, fitted_on, seed=seed)
        rows[method] = measure(signal.test, label, threshold, teacher.test)

    def by_answer(method: str, signals: Mapping[str, Signal], sources: list[tuple[str, ...]]) -> None:
        answer = fit_answer({key: s.validation for key, s in signals.items()}, fitted_on, sources, seed=seed)
        probability = answer.probability({key: s.test for key, s in signals.items()})
        rows[method] = measure(probability, label, answer.threshold, teacher.test)
        answers[method] = answer
        columns[f"{method}_probability"] = probability

    by_threshold("teacher", teacher)
    for method in ("zero_shot", "fine_tuned"):
        if method in decoders:
            by_threshold(method, decoders[method])
    by_threshold("flipped_decoder", decoders["flipped"])
    by_threshold("flipped_encoder", encoder)
    flipped = {"decoder": decoders["flipped"], "encoder": encoder, "teacher": teacher}
    by_answer("flipped_answer", flipped, [("decoder",), ("encoder",), ("decoder", "encoder")])
    if "fine_tuned" in decoders:
        by_answer(
            "fine_tuned_teacher",
            {"decoder": decoders["fine_tuned"], "teacher": teacher},
            [("decoder", "teacher")],
        )
    by_answer("flipped_teacher", flipped, [("decoder", "teacher"), ("decoder", "encoder", "teacher")])
    return Comparison(rows, answers, name, columns, flipped)
