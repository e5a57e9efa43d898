"""The teacher's part of a run: its training, its word on the training texts, and where it is trusted."""

from pathlib import Path

from flipkd.console import announce, console
from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.distill.workspace import Workspace
from flipkd.errors import FlipkdError
from flipkd.teacher.leak import require_unseen
from flipkd.teacher.loading import kind_of, resolve
from flipkd.teacher.record import is_fitted, read_record, require_whole
from flipkd.teacher.signal import TeacherSignal, training_signal
from flipkd.teacher.teacher import Teacher
from flipkd.teacher.thresholds import DualThresholds, ThresholdReport, fit_thresholds, threshold_report
from flipkd.teacher.training import fit_teacher


def teach(
    config: DistillConfig, splits: Splits, work: Workspace, device: str, cache: Path
) -> tuple[Teacher, TeacherSignal]:
    """Fine-tune the teacher if asked, and read what it says of the training texts.

    Args:
        config: The run's settings.
        splits: The pairs.
        work: Where the fine-tuned teacher is kept.
        device: Where to compute.
        cache: Where vectors are kept.

    Returns:
        The teacher of all pairs, and its word on the training texts, out of fold where it was fine-tuned here.

    Raises:
        FlipkdError: If the teacher cannot be loaded, or was trained on the pairs to fit and measure on.
    """
    name = config.teacher
    if is_fitted(name):
        announce("teacher", name, "made by flipkd teacher train, so it is not tuned again")
        record = read_record(Path(name).expanduser())
        for split, table in splits.tables.items():
            if split != "train":
                require_unseen(name, record, split, table)
    elif config.fine_tune_teacher:
        folder = work.folder / "teacher"
        if work.recorded("fitted_teacher") is None:
            with work.timing("teacher"):
                fit_teacher(
                    name, splits.train, folder, config.teacher_training,
                    seed=config.seed, validation=splits.validation, device=device, cache_dir=cache,
                )  # fmt: skip
            work.record("fitted_teacher", True)
        name = str(folder)
    else:
        announce("teacher", name, "as it is: --fine-tune-teacher is off")
    teacher, signal, leak = training_signal(
        name, splits.train, splits.validation, splits.unlabelled, cache_dir=cache, device=device
    )
    announce("teacher leak", "masked" if signal.mask_pairs else "none", leak.reason)
    return teacher, signal


def require_kind(config: DistillConfig) -> None:
    """Refuse, before anything is trained, a teacher that cannot give what the settings ask for.

    Raises:
        FlipkdError: If there is no such teacher, it is one of those in a folder of `flipkd teacher train`, or ``sets``
            is ``matrix`` and it is a cross-encoder.
    """
    require_whole(config.teacher)
    kind, reason = kind_of(resolve(config.teacher))
    if config.sets == "matrix" and kind == "cross":
        raise FlipkdError(
            f"--sets matrix needs a teacher of texts; {config.teacher} is a cross-encoder ({reason}), which knows "
            "pairs alone. Use --sets labels, or a bi-encoder."
        )


def dual_thresholds(config: DistillConfig, teacher: Teacher, splits: Splits) -> tuple[DualThresholds, ThresholdReport]:
    """Fit the dual thresholds on validation, or take the user's, and print what they keep and drop.

    Args:
        config: The run's settings.
        teacher: The teacher of all pairs.
        splits: The pairs.

    Returns:
        The thresholds, cosines; and what they keep and drop of validation.
    """
    validation = splits.validation
    similarity = teacher.similarity(validation.text_a, validation.text_b)
    label = validation.require_labels()
    if config.tau_p is not None and config.tau_n is not None:
        thresholds = DualThresholds(config.tau_p, config.tau_n, "set by the user")
    else:
        veto = config.sets != "thresholds"
        thresholds = fit_thresholds(similarity, label, precision=config.threshold_precision, veto=veto)
    announce("dual thresholds", f"tau_p {thresholds.tau_p:.3f}, tau_n {thresholds.tau_n:.3f}", thresholds.reason)
    report = threshold_report(similarity, label, thresholds)
    console.print(report.render())
    return thresholds, report
