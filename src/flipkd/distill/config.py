"""The settings of the whole job, on top of those of the method."""

import math
import os
from dataclasses import dataclass, field
from typing import Literal

from flipkd.errors import FlipkdError
from flipkd.evaluation.policies import Policy
from flipkd.teacher.training import TeacherConfig
from flipkd.training.config import FlipConfig


@dataclass
class DistillConfig(FlipConfig):
    """The whole job: files, models, and what is compared."""

    train: str = ""
    """Labelled pairs to learn from: a file (CSV, TSV, JSONL, parquet) or a hub data set."""
    validation: str | None = None
    """Labelled pairs on which thresholds and the answer are fitted; by default a share of the training pairs."""
    test: str | None = None
    """Labelled pairs that are only measured on; by default the tables show validation."""
    unlabelled: str | None = None
    """A file with one text a line: further texts of the domain for the warm-up."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The files' encoding, where it is not found by itself (UTF-8, UTF-16 by its mark, then GB18030)."""
    delimiter: str | None = None
    """What parts the cells of the files, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    validation_share: float = 0.15
    """The share of training pairs that becomes validation where no file is given."""
    limit: int | None = None
    """Learn from at most this many training pairs, drawn with the seed."""
    teacher: str = "minilm"
    """The small model: a sentence-transformers hub id or folder, a folder of `flipkd teacher train`, or minilm."""
    fine_tune_teacher: bool = True
    """Fine-tune the teacher on the pairs first. Turn off for one that was already; a folder of
    `flipkd teacher train` is never tuned again."""
    teacher_training: TeacherConfig = field(default_factory=TeacherConfig)
    """How the teacher is fine-tuned."""
    student: str = "smollm2-135m"
    """The LLM: a hub id, a folder, smollm2-135m or gemma3-270m."""
    output: str = ""
    """The folder of the artefact; unfinished work lies in a folder beside it, named OUTPUT.work."""
    overwrite: bool = False
    """Replace an artefact that is already there, and drop unfinished work of other settings. Work of the same
    settings is always resumed."""
    threshold_policy: str = "f1"
    """What the decision threshold is chosen for, on validation: f1, accuracy, precision=P, recall=R, cost=A:B (a false
    match costs A, a missed one B) or bands=P:Q (accept at precision P, reject at precision Q, review in between)."""
    keep_teacher: bool = False
    """Keep the teacher beside the student: its similarity joins the answer."""
    baseline: bool = True
    """Also train plain LoRA fine-tuning, to compare with."""
    baseline_epochs: float | None = None
    """Passes of that fine-tuning; by default those of the joint training."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Teacher vectors and converted students are kept here."""
    trunk_cache_gb: float = 4.0
    """The most disk that the frozen layers' outputs may take; 0 keeps none."""
    trunk_cache_dtype: Literal["float32", "float16"] = "float32"
    """How the frozen layers' outputs are kept: exactly, or in half the room, where log-odds and vectors move by up to
    1e-2 in training. Answers that thresholds and figures come from are computed exactly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # A shell leaves the ~ of --output=~/x as it is, and none reads YAML.
        for name in ("train", "validation", "test", "unlabelled", "teacher", "student", "output"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, os.path.expanduser(value))
        # Known before anything is trained.
        Policy.parse(self.threshold_policy)
        for name in ("limit", "baseline_epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise FlipkdError(f"{name} is {value}; it must be a number above 0.")

    def require_files(self) -> None:
        """Check that the job has what it cannot guess.

        Raises:
            FlipkdError: If the training file or the output is missing.
        """
        for name in ("train", "output"):
            if not getattr(self, name):
                raise FlipkdError(f"--{name} is missing.")
