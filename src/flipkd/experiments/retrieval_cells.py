"""What retrieval measured: one JSON line a set, method and seed, and the table that is made of them."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from flipkd.experiments.cells import latest, read_lines, versions
from flipkd.experiments.retrieval import RetrievalResult
from flipkd.experiments.sections import code, table

RETRIEVAL = "retrieval.jsonl"
FIGURES = ("ndcg10", "mrr10", "success1")


@dataclass(frozen=True)
class RetrievalCell:
    """One method on one retrieval set with one seed: a line of ``results/retrieval.jsonl``."""

    set: str
    """The retrieval set."""
    method: str
    """See `RetrievalResult`."""
    seed: int
    """Of the training; the queries are the same for all."""
    queries: int
    """Test queries that were asked."""
    ndcg10: float
    """Mean over the queries, gains linear in the grade."""
    mrr10: float
    """Mean over the queries."""
    success1: float
    """Share of the queries whose first entry is relevant."""
    seconds: float
    """Wall time of answering all queries, see `RetrievalResult`."""
    settings: str
    """Names all settings, see `digest_of`: cells of others count as not there."""
    commit: str
    """The commit of flipkd."""
    versions: dict[str, str]
    """Of the libraries."""
    note: str = ""
    """What was fitted."""

    @classmethod
    def of(
        cls, result: RetrievalResult, *, retrieval_set: str, seed: int, settings: str, commit: str
    ) -> "RetrievalCell":
        """The cell of a result."""
        return cls(
            set=retrieval_set,
            method=result.method,
            seed=seed,
            queries=len(result.ndcg10),
            ndcg10=float(result.ndcg10.mean()),
            mrr10=float(result.mrr10.mean()),
            success1=float(result.success1.mean()),
            seconds=result.seconds,
            settings=settings,
            commit=commit,
            versions=versions() | {"bm25s": version("bm25s")},
            note=result.note,
        )


def write_retrieval(results: Path, cells: Iterable[RetrievalCell]) -> None:
    """Append cells in one write, so that a set and seed are there whole or not at all."""
    results.mkdir(parents=True, exist_ok=True)
    made = "".join(json.dumps(asdict(cell), ensure_ascii=False) + "\n" for cell in cells)
    with (results / RETRIEVAL).open("a", encoding="utf-8") as lines:
        lines.write(made)


def read_retrieval(results: Path) -> list[RetrievalCell]:
    """The cells of a results folder, in the order they were written; none if there is no file.

    Raises:
        FlipkdError: If a line is not a cell.
    """
    return list(read_lines(results / RETRIEVAL, RetrievalCell))


def retrieval_table(cells: Iterable[RetrievalCell]) -> str:
    """A Markdown table, a row a set and method in the order they come: means over the seeds ± standard deviation.

    Which cells count, `flipkd.experiments.cells.latest` says.
    """
    groups: dict[tuple[str, str], list[RetrievalCell]] = defaultdict(list)
    for cell in latest(cells):
        groups[cell.set, cell.method].append(cell)
    head = ["set", "method", "NDCG@10", "MRR@10", "success@1", "queries", "seeds", "seconds"]
    rows = [
        [
            code(name),
            code(method),
            *(_spread([getattr(cell, figure) for cell in group]) for figure in FIGURES),
            ", ".join(map(str, dict.fromkeys(cell.queries for cell in group))),
            str(len(group)),
            f"{np.mean([cell.seconds for cell in group]):.1f}",
        ]
        for (name, method), group in groups.items()
    ]
    return table(head, rows)


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"
