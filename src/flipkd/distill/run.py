"""The whole job, from files of pairs to an artefact (docs/method.md; `flipkd distill`)."""

from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce, console, warn
from flipkd.device import choose_training_device, require_one_process
from flipkd.distill.compare import Comparison, Signal, compare, lead_of_teacher, signal_of
from flipkd.distill.config import DistillConfig
from flipkd.distill.settle import Settled, settle
from flipkd.distill.splits import Splits, read_splits
from flipkd.distill.student import StudentRun, build_student
from flipkd.distill.teach import dual_thresholds, require_kind, teach
from flipkd.distill.workspace import Workspace
from flipkd.distill.write import Cascade, Findings, write_artefact
from flipkd.evaluation.answer import choose_order
from flipkd.evaluation.cascade import fit_band
from flipkd.evaluation.cascade_curve import speed_curve
from flipkd.evaluation.table import comparison_table
from flipkd.student.trunk import model_fingerprint
from flipkd.teacher.teacher import Teacher


def distill(config: DistillConfig) -> Path:
    """Train, evaluate, check and write an artefact.

    Interrupted work is kept beside the output and resumed by the same call.

    Args:
        config: The settings.

    Returns:
        The artefact's folder.

    Raises:
        FlipkdError: For bad input, one of several processes, a loss that is not finite, a stage that changes nothing,
            or an artefact that fails its self-check.
    """
    require_one_process()
    config.require_files()
    splits = read_splits(config)
    device = choose_training_device(config.device)
    work = Workspace(config, splits.digests)
    cache = Path(config.cache_dir).expanduser()
    require_kind(config)
    # Before the teacher is trained: what is wrong with the student or its prompt is known here.
    student = build_student(config, device, cache)
    work.require_same("student", model_fingerprint(student.model.get_base_model()))
    teacher, signal = teach(config, splits, work, device, cache)
    work.require_same("teacher", teacher.revision)
    thresholds, report = dual_thresholds(config, teacher, splits)

    if config.trunk_cache_gb > 0:
        limit = int(config.trunk_cache_gb * 2**30)
        student.use_trunk_cache(work.folder / "trunk", limit, config.trunk_cache_dtype)
    run = StudentRun(student, config, splits, work, device)
    read = {"zero_shot": run.read("zero_shot")}
    log: list[dict[str, Any]] = []
    if config.baseline:
        log += run.fine_tune()
        read["fine_tuned"] = run.read("fine_tuned", vectors=False)
    log += run.warm_up(signal)
    log += run.flip(signal, thresholds)
    read["flipped"] = run.read("flipped")

    as_given = read["flipped"]["validation_log_odds"].copy()
    symmetric = _choose_order(config, run, read["flipped"])
    if symmetric:
        run.average_orders(read)
    comparison = _compare(config, read, teacher, splits)
    console.print(comparison_table(comparison.rows))
    if "fine_tuned" in read:
        label = splits.validation.require_labels()
        by_labels = read["fine_tuned"]["validation_log_odds"]
        announce("teacher", *lead_of_teacher(comparison.signals["teacher"].validation, by_labels, label))
    chosen = comparison.answers["flipped_teacher" if config.keep_teacher else "flipped_answer"]
    announce("answer", " + ".join(chosen.sources), chosen.reason)
    settled = settle(config, chosen, comparison, splits)
    findings = Findings(
        comparison=comparison,
        settled=settled,
        cascade=_cascade(config, settled, comparison, splits),
        # An answer without the decoder need not ask it, let alone twice.
        symmetric=symmetric and "decoder" in chosen.sources,
        thresholds=thresholds,
        threshold_report=report.as_dict(),
        log=log,
        seconds=work.seconds(),
        read=read,
        as_given=as_given,
    )
    work.publish(lambda folder: write_artefact(folder, config, splits, student, teacher, findings))
    console.print(f"[bold green]Done.[/bold green] The artefact is in {config.output}")
    return Path(config.output)


def _choose_order(config: DistillConfig, run: StudentRun, read: dict[str, np.ndarray]) -> bool:
    """Whether averaging both orders wins on validation."""
    if config.directed:
        announce("orders", "as given", "the task is directed")
        return False
    swapped = run.read_swapped("flipped", "validation")
    label = run.splits.validation.require_labels()
    symmetric, reason = choose_order(read["validation_log_odds"], swapped, label, seed=config.seed)
    announce("orders", "both, averaged" if symmetric else "as given", reason)
    return symmetric


def _compare(
    config: DistillConfig, read: dict[str, dict[str, np.ndarray]], teacher: Teacher, splits: Splits
) -> Comparison:
    name = "validation" if splits.test is None else "test"
    if splits.test is None:
        warn("There is no test file: the table shows validation, on which thresholds were fitted. It flatters.")
    measured = splits.tables[name]
    decoders = {method: signal_of(found, "log_odds", name) for method, found in read.items()}
    by_teacher = [teacher.similarity(table.text_a, table.text_b) for table in (splits.validation, measured)]
    return compare(
        decoders,
        signal_of(read["flipped"], "similarity", name),
        Signal(*(similarity.astype(np.float64) for similarity in by_teacher)),
        splits.validation,
        measured,
        seed=config.seed,
        name=name,
    )


def _cascade(config: DistillConfig, settled: Settled, comparison: Comparison, splits: Splits) -> Cascade:
    """Fit the band in which the decoder is asked, and what other bands would have cost."""
    answer, reject = settled.answer, settled.decision.reject
    label = splits.validation.require_labels()
    fitted_on = {source: signal.validation for source, signal in comparison.signals.items()}
    band, reason = fit_band(answer, fitted_on, label, seed=config.seed, reject=reject)
    announce("cascade", "no band" if band is None else f"{band.skipped:.1%} skip the decoder", reason)
    if band is None:
        return Cascade(None, reason, [])
    measured = {source: signal.test for source, signal in comparison.signals.items()}
    truth = splits.tables[comparison.measured].require_labels()
    curve = speed_curve(answer, fitted_on, label, measured, truth, seed=config.seed, reject=reject)
    return Cascade(band, reason, curve)
