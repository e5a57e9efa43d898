"""What `flipkd teacher train` writes beside its teachers, and later commands read."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flipkd.errors import FlipkdError
from flipkd.files import written_whole

RECORD = "flipkd_teacher.json"
ALL = "all"
"""The folder of the teacher trained on all pairs, beside fold-0, fold-1, ..."""
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FitRecord:
    """How a folder of teachers was made, from which pairs, and how well they do."""

    base: str
    """The teacher that was fine-tuned, as the user gave it."""
    base_revision: str
    """Its content fingerprint."""
    kind: str
    """bi or cross."""
    seed: int
    config: dict[str, Any]
    """The fields of TeacherConfig."""
    pairs_digest: str
    """`PairTable.digest` of the training pairs: the folds hold for them alone."""
    folds: int
    fold: list[int]
    """Fold of each training pair, in their order; empty without folds."""
    pairs_seen: list[str] = field(default_factory=list)
    """`pair_keys` of the training pairs, sorted; empty in folders of before they were kept."""
    finished: bool = False
    validation_digest: str | None = None
    auc: dict[str, Any] = field(default_factory=dict)
    """ROC AUC: `validation` by teacher, `untuned` of the base there (a bi-encoder's; none in older folders), and
    `out_of_fold` and `in_sample` on the training pairs."""
    schema_version: int = SCHEMA_VERSION

    def same_training(self, other: "FitRecord") -> bool:
        """Whether both would train the same teachers."""
        keys = ("base_revision", "seed", "config", "pairs_digest", "folds", "fold")
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    @property
    def parts(self) -> list[str]:
        """The folder names of the teachers."""
        return [*fold_names(self.folds), ALL]

    def write(self, folder: Path) -> None:
        """Write it to `folder`, whole or not at all."""
        with written_whole(folder / RECORD) as partial:
            partial.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def fold_names(folds: int) -> list[str]:
    """The folder of each fold's teacher, the one that did not see the fold; none for one fold."""
    return [f"fold-{number}" for number in range(folds)] if folds > 1 else []


def is_fitted(name: str) -> bool:
    """Whether a teacher's name is a folder made by `flipkd teacher train`."""
    return (Path(name).expanduser() / RECORD).is_file()


def require_whole(name: str) -> None:
    """Refuse one of the teachers of such a folder: which pairs it saw is told beside them, and its folds are there.

    Args:
        name: The teacher, as the user gave it.

    Raises:
        FlipkdError: If the name is a folder within one made by `flipkd teacher train`.
    """
    folder = Path(name).expanduser().resolve()
    if folder.is_dir() and is_fitted(str(folder.parent)) and folder.name in read_record(folder.parent).parts:
        raise FlipkdError(
            f"{name} is one of the teachers in {folder.parent}, whose {RECORD} says which pairs they were trained on. "
            f"Give {folder.parent}."
        )


def read_record(folder: Path) -> FitRecord:
    """Read the record of a folder made by `flipkd teacher train`.

    Raises:
        FlipkdError: If it is damaged or of another schema.
    """
    file = folder / RECORD
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["schema_version"] == SCHEMA_VERSION:
            return FitRecord(**found)
    except (ValueError, KeyError, TypeError) as error:
        raise FlipkdError(f"{file} can't be read ({error}). Train the teacher again.") from error
    raise FlipkdError(
        f"{file} has schema {found['schema_version']}; this version of flipkd reads {SCHEMA_VERSION}. "
        "Train the teacher again."
    )
