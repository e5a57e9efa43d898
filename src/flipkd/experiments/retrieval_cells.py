"""What retrieval measured: one JSON line a set, method and seed, and the table that is made of them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flipkd.data.splits import independent_groups
from flipkd.errors import FlipkdError
from flipkd.evaluation.intervals import Estimate, draw_rows, mean_sd, paired_interval
from flipkd.evaluation.paired import FEWEST_INDEPENDENT
from flipkd.experiments.cells import latest, predictions_file, read_lines, read_predictions, versions, write_columns
from flipkd.experiments.comparisons import DRAWS
from flipkd.experiments.retrieval import RetrievalResult
from flipkd.experiments.sections import code, difference, spread, table

RETRIEVAL = "retrieval.jsonl"
FIGURES = ("ndcg10", "mrr10", "success1")
REFERENCES = ("untuned", "teacher", "bm25")
"""What every method is compared to, paired by query."""


class ByQuery(NamedTuple):
    """What a cell is the mean of, (queries,) each, in one order for all methods of a set."""

    ndcg10: NDArray[np.float64]
    """NDCG@10."""
    group: NDArray[np.int64]
    """Which queries hang together: they are no independent observations."""


PerQuery = Mapping[tuple[str, str, int], ByQuery]
"""By set, method and seed."""


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
    sample: str = ""
    """Names the collection, see `Collection.digest`: cells of another count as not there. Early cells have none."""

    @classmethod
    def of(
        cls, result: RetrievalResult, *, retrieval_set: str, seed: int, settings: str, sample: str, commit: str
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
            sample=sample,
        )


def write_retrieval(
    results: Path,
    cells: Sequence[RetrievalCell],
    found: Sequence[RetrievalResult],
    queries: Sequence[str],
    group: NDArray[np.int64],
) -> None:
    """Keep cells: first what was found for each query, then all lines in one write, so that a listed set is whole.

    Args:
        results: The folder.
        cells: Of one set and seed.
        found: What each cell is the mean of, in the order of the cells.
        queries: Their ids.
        group: (queries,) which of them hang together.
    """
    asked = {"query": np.array(queries), "group": group}
    for cell, each in zip(cells, found, strict=True):
        columns = asked | {figure: getattr(each, figure) for figure in FIGURES}
        write_columns(predictions_file(results, *_key(cell)), columns)
    made = "".join(json.dumps(asdict(cell), ensure_ascii=False) + "\n" for cell in cells)
    with (results / RETRIEVAL).open("a", encoding="utf-8") as lines:
        lines.write(made)


def read_retrieval(results: Path) -> list[RetrievalCell]:
    """The cells of a results folder, in the order they were written; none if there is no file.

    Raises:
        FlipkdError: If a line is not a cell.
    """
    return list(read_lines(results / RETRIEVAL, RetrievalCell))


def read_queries(results: Path, cells: Iterable[RetrievalCell]) -> PerQuery:
    """NDCG@10 and group by query of the cells that have it: those from before it was kept have none.

    Raises:
        FlipkdError: If a file is not what its cell is the mean of, or the cells of a set are of different queries or
            collections.
    """
    found: dict[tuple[str, str, int], ByQuery] = {}
    asked: dict[str, list[str]] = {}
    samples: dict[str, str] = {}
    for cell in latest(cells):
        if cell.sample and samples.setdefault(cell.set, cell.sample) != cell.sample:
            raise FlipkdError(
                f"{cell.set}: cells of different collections ({samples[cell.set]} and {cell.sample}) cannot be "
                f"compared. Delete the lines of one from {RETRIEVAL}."
            )
        file = predictions_file(results, *_key(cell))
        if not file.is_file():
            continue
        said = read_predictions(results, *_key(cell))
        queries = said["query"].tolist()
        if asked.setdefault(cell.set, queries) != queries or not np.isclose(said["ndcg10"].mean(), cell.ndcg10):
            raise FlipkdError(
                f"{file} is of other queries than the set's other cells, or not what the cell in {RETRIEVAL} is the "
                "mean of. Delete the set's lines there and run it again."
            )
        found[_key(cell)] = ByQuery(said["ndcg10"], said["group"])
    return found


def retrieval_table(cells: Iterable[RetrievalCell], queries: PerQuery) -> str:
    """A Markdown table, a row a set and method in the order they come: means over the seeds ± standard deviation.

    Which cells count, `flipkd.experiments.cells.latest` says.

    Args:
        cells: Of all sets, methods and seeds.
        queries: NDCG@10 of each query, for the intervals; a dash where it is missing, and where the queries are worth
            fewer than `FEWEST_INDEPENDENT` independent ones.
    """
    groups: dict[tuple[str, str], list[RetrievalCell]] = defaultdict(list)
    for cell in latest(cells):
        groups[cell.set, cell.method].append(cell)
    estimates = {
        (name, method): {
            cell.seed: _estimate(queries[key])
            for cell in group
            if (key := _key(cell)) in queries and independent_groups(queries[key].group) >= FEWEST_INDEPENDENT
        }
        for (name, method), group in groups.items()
    }
    head = ["set", "method", "NDCG@10", "MRR@10", "success@1", *(f"NDCG@10 to {code(name)}" for name in REFERENCES)]
    rows = [
        [
            code(name),
            code(method),
            *(spread(mean_sd([getattr(cell, figure) for cell in group])) for figure in FIGURES),
            *(
                "itself" if method == reference
                else difference(paired_interval(estimates[name, method], estimates.get((name, reference), {})))
                for reference in REFERENCES
            ),
            ", ".join(map(str, dict.fromkeys(cell.queries for cell in group))),
            str(len(group)),
            f"{np.mean([cell.seconds for cell in group]):.1f}",
        ]
        for (name, method), group in groups.items()
    ]  # fmt: skip
    return table([*head, "queries", "seeds", "seconds"], rows)


def _key(cell: RetrievalCell) -> tuple[str, str, int]:
    return cell.set, cell.method, cell.seed


def _estimate(queries: ByQuery) -> Estimate:
    """The mean over the queries, and over each draw of their groups: the same draws for all methods and seeds."""
    values = queries.ndcg10
    counts = draw_rows(np.zeros(len(values)), queries.group, DRAWS, both=False)
    return Estimate(float(values.mean()), values @ counts / counts.sum(axis=0))
