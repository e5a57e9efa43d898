"""`flipkd teacher train`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from flipkd.errors import FlipkdError
from flipkd.teacher.training import TeacherConfig

if TYPE_CHECKING:
    from flipkd.data.table import PairTable


@dataclass
class Options:
    """Fine-tune a small encoder on labelled pairs, out of fold, for `flipkd distill --teacher OUTPUT`."""

    train: str = ""
    """Labelled pairs to learn from."""
    output: str = ""
    """The folder to write: `all`, trained on every pair, and one teacher a fold."""
    validation: str | None = None
    """Labelled pairs on which the teachers are measured; by default a share of the training pairs."""
    teacher: str = "minilm"
    """A sentence-transformers hub id or folder, bi-encoder or cross-encoder, or minilm."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The files' encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the files, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    validation_share: float = 0.15
    """The share of training pairs that becomes validation where no file is given."""
    training: TeacherConfig = field(default_factory=TeacherConfig)
    """How it is fine-tuned."""
    seed: int = 0
    """Seeds the folds and the training."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """The teachers' vectors are kept here, for `flipkd distill` with the same one."""


def run(options: Options) -> None:
    """Train, and say where the teachers are."""
    from pathlib import Path

    from flipkd.console import announce
    from flipkd.data.reader import read_pairs
    from flipkd.device import choose_training_device
    from flipkd.distill.splits import keep_apart, split_validation
    from flipkd.teacher.training import fit_teacher

    for name in ("train", "output"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")
    if options.seed < 0:
        raise FlipkdError(f"--seed is {options.seed}; it must not be negative.")

    def read(file: str) -> "PairTable":
        return read_pairs(
            file, columns=options.columns, encoding=options.encoding, delimiter=options.delimiter, empty=options.empty
        )

    train = read(options.train)
    if options.validation is None:
        train, validation = split_validation(train, options.validation_share, options.seed)
    else:
        validation = read(options.validation)
        keep_apart({"training": train, "validation": validation})
    fit_teacher(
        options.teacher, train, Path(options.output), options.training,
        seed=options.seed, validation=validation, device=choose_training_device(options.device),
        cache_dir=Path(options.cache_dir).expanduser(),
    )  # fmt: skip
    announce("teacher", options.output, f"give it to flipkd distill --teacher {options.output}")
