"""Write the artefact: what PEFT loads, what flipkd adds, and the records of the run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce
from flipkd.data.table import PairTable
from flipkd.distill.compare import Comparison
from flipkd.distill.config import DistillConfig
from flipkd.distill.differences import differences
from flipkd.distill.record import RUN_FILE, run_record
from flipkd.distill.selfcheck import CHECK_FILE, reload_and_check
from flipkd.distill.settle import Settled
from flipkd.distill.splits import Splits
from flipkd.evaluation.cascade import Band
from flipkd.evaluation.cascade_curve import Point
from flipkd.evaluation.predictions import PREDICTIONS, answer_column, write_predictions
from flipkd.matching.artefact import TEACHER_FOLDER, ArtefactSpec, TeacherRecord, file_hash
from flipkd.matching.matcher import Matcher
from flipkd.report.render import CARD_FILE, REPORT_FILE, html_report, model_card
from flipkd.student.inference import EncodedPairs
from flipkd.student.model import Student
from flipkd.student.trunk import computing_numbers, model_fingerprint
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.thresholds import DualThresholds


@dataclass(frozen=True)
class Cascade:
    """Where the encoder alone may answer.

    Attributes:
        band: The band in which the decoder is asked, if there is one.
        reason: How it came about, or why there is none.
        curve: Speed against loss for narrower and wider bands; empty where there is none.
    """

    band: Band | None
    reason: str
    curve: list[Point]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Findings:
    """What a run found, to be written down.

    Attributes:
        comparison: The table's rows and what stands behind them.
        settled: The answer that the artefact gives, how it decides, and how calibrated it is.
        cascade: Where the encoder alone may answer.
        symmetric: Whether it averages both orders.
        thresholds: The dual thresholds.
        threshold_report: What they keep and drop.
        log: The training log, one record a logging step, each with its ``stage``.
        seconds: Wall time by piece of work.
        read: What the student said before (``zero_shot``) and after (``flipped``), see `StudentRun.read`.
        as_given: (n,) log-odds of the validation pairs, in one order, for the self-check.
    """

    comparison: Comparison
    settled: Settled
    cascade: Cascade
    symmetric: bool
    thresholds: DualThresholds
    threshold_report: dict[str, Any]
    log: list[dict[str, Any]]
    seconds: dict[str, float]
    read: Mapping[str, Mapping[str, np.ndarray]]
    as_given: np.ndarray


LIBRARIES = ("flipkd", "torch", "transformers", "peft", "accelerate", "sentence-transformers", "datasets")


def write_artefact(
    folder: Path,
    config: DistillConfig,
    splits: Splits,
    student: Student,
    teacher: Teacher,
    findings: Findings,
) -> None:
    """Fill a temporary folder with the artefact, read it back and check it.

    Args:
        folder: Empty; it is renamed once this returns.
        config: The effective settings.
        splits: The pairs.
        student: Trained.
        teacher: The teacher that validation and test were read with.
        findings: What is written down.

    Raises:
        FlipkdError: If the reloaded artefact does not answer as the run did.
    """
    words = student.tokenizer.save_pretrained(folder)
    spec = ArtefactSpec(
        base_model=config.student,
        base_fingerprint=model_fingerprint(student.model.get_base_model()),
        template=student.template.as_dict(),
        sites=student.sites,
        pooling=student.pooling,
        first_adapted=student.first_adapted,
        directed=config.directed,
        symmetric=findings.symmetric,
        answer=findings.settled.answer.as_dict(),
        thresholds=findings.thresholds.as_dict(),
        teacher=TeacherRecord(name=config.teacher, revision=teacher.revision, kept=config.keep_teacher),
        data={
            name: {"source": table.source, "digest": table.digest(), "pairs": len(table)}
            for name, table in splits.tables.items()
        },
        config=json.loads(json.dumps(asdict(config))),
        versions={library: version(library) for library in LIBRARIES},
        seed=config.seed,
        cascade=None if findings.cascade.band is None else findings.cascade.band.as_dict(),
        decision=findings.settled.decision.as_dict(),
        base_numbers=computing_numbers(student.model.get_base_model()),
        tokenizer={file.name: file_hash(file) for file in map(Path, words) if file.is_file()},
    )
    student.model.save_pretrained(folder)
    spec.write(folder)
    if config.keep_teacher:
        teacher.save(folder / TEACHER_FOLDER)
    measured = splits.tables[findings.comparison.measured]
    _write_records(folder, measured, student, findings)
    _write_json(folder / RUN_FILE, run_record(config, str(student.device)))
    cache = Path(config.cache_dir).expanduser()
    checks = reload_and_check(
        folder,
        splits.validation,
        findings.as_given,
        findings.read["flipped"]["validation_similarity"],
        lambda place: Matcher.from_pretrained(place, device=str(student.device), cache_dir=cache),
    )
    _write_json(folder / CHECK_FILE, {"checks": [check._asdict() for check in checks]})
    (folder / CARD_FILE).write_text(model_card(folder), encoding="utf-8", newline="\n")
    (folder / REPORT_FILE).write_text(html_report(folder), encoding="utf-8", newline="\n")


def _write_records(folder: Path, measured: PairTable, student: Student, findings: Findings) -> None:
    training, evaluation = folder / "training", folder / "evaluation"
    training.mkdir()
    evaluation.mkdir()
    with (training / "log.jsonl").open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(record) + "\n" for record in findings.log)
    comparison, settled = findings.comparison, findings.settled
    decision = settled.decision
    column = answer_column(settled.answer.sources)
    probability = comparison.columns[column]
    metrics = {
        "measured_on": comparison.measured,
        "rows": {name: row.as_dict() for name, row in comparison.rows.items()},
        "answers": {name: answer.as_dict() for name, answer in comparison.answers.items()},
        "decision": decision.as_dict() | {"measured": None if settled.measured is None else asdict(settled.measured)},
        "calibration": settled.calibration_dict(),
        "differences": differences(comparison, column.removesuffix("_probability"), measured),
        "cascade": findings.cascade.as_dict(),
        "dual_thresholds": findings.threshold_report,
        "seconds": findings.seconds,
    }
    _write_json(evaluation / "metrics.json", metrics)
    named = {"decision": decision.name(probability, decision.threshold)} if decision.bands else {}
    write_predictions(
        folder / PREDICTIONS, measured, comparison.columns | named, match=probability >= decision.threshold
    )
    settled.record.write(folder)
    if find_spec("matplotlib") is None:
        announce("pictures", "none", "matplotlib is not installed: pip install 'flipkd[plots]'")
        return
    _draw(training, evaluation, measured, student, findings, probability)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _draw(
    training: Path,
    evaluation: Path,
    measured: PairTable,
    student: Student,
    findings: Findings,
    probability: np.ndarray,
) -> None:
    from scipy.special import expit

    from flipkd.evaluation.curves import loss_curve
    from flipkd.evaluation.plots import (
        cascade_curve,
        precision_recall,
        reliability,
        roc,
        similarity_histograms,
        vector_map,
    )

    label = measured.require_labels()
    columns, split = findings.comparison.columns, findings.comparison.measured
    shown = {name: columns[key] for name, key in CURVES.items() if key in columns}
    before, after = findings.read["zero_shot"], findings.read["flipped"]
    pairs = EncodedPairs.of(student, measured.text_a, measured.text_b)

    def ends(read: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        vectors = read[f"{split}_vectors"]
        return vectors[pairs.a], vectors[pairs.b]

    precision_recall(evaluation / "precision_recall.png", label, shown)
    roc(evaluation / "roc.png", label, shown)
    reliability(
        evaluation / "reliability.png",
        label,
        {"Before, the decoder alone": expit(columns["log_odds"]), "After, the answer": probability},
    )
    similarity_histograms(
        evaluation / "similarity.png", label, before[f"{split}_similarity"], after[f"{split}_similarity"]
    )
    if findings.cascade.curve:
        cascade_curve(evaluation / "cascade.png", findings.cascade.curve, split)
    vector_map(evaluation / "vectors.png", label, ends(before), ends(after))
    if findings.log:
        loss_curve(training / "loss.png", findings.log)


CURVES = {
    "teacher": "teacher",
    "fine-tuned": "fine_tuned",
    "flipped, decoder": "log_odds",
    "flipped, encoder": "similarity",
    "flipped, answer": "flipped_answer_probability",
}
"""Methods of the curves, and their columns."""
