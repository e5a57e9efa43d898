"""How well an index answers queries whose right entries are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.retrieval.baselines import bm25_order, teacher_order
from flipkd.retrieval.index import FaqIndex
from flipkd.retrieval.judged import Judged
from flipkd.retrieval.metrics import DEPTH, mrr, ndcg, success
from flipkd.retrieval.schema import FirstStage
from flipkd.teacher.teacher import Teacher

_AT_ONCE = 256
"""Queries whose rankings are measured together."""


@dataclass(frozen=True)
class Order:
    """How well entries are ordered, means over the queries that some entry answers; NaN if there is none."""

    success1: float
    """Share of the queries whose first entry is relevant."""
    mrr10: float
    """One over the rank of the first relevant entry, 0 behind rank 10."""
    ndcg10: float
    """Gains linear in the grade."""


@dataclass(frozen=True)
class Refusals:
    """What one threshold answers and refuses; a share of nothing is NaN."""

    policy: str
    """How the threshold was chosen, see `flipkd.evaluation.policies.Policy`."""
    threshold: float
    """The best entry is the answer if its probability is at least this."""
    rightly_refused: float
    """Share of the unanswerable queries that got no answer."""
    wrongly_refused: float
    """Share of the answerable queries that got no answer."""
    right_answers: float
    """Share of the answers given whose entry is relevant."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured."""

    answerable: int
    """Queries that some entry of the index answers."""
    unanswerable: int
    """The others."""
    bm25: Order
    """All entries by their words alone."""
    teacher: Order | None
    """All entries by the cosine of a teacher's vectors alone; None where no teacher was given."""
    first_stage: Order
    """The candidates in the order of the first stage alone."""
    verified: Order
    """The candidates by the artefact's probability."""
    refusals: tuple[Refusals, ...]
    """By the policy in force, then by the others that were asked for."""


def evaluate(
    index: FaqIndex,
    judged: Judged,
    *,
    first_stage: FirstStage | None = None,
    candidates: int | None = None,
    teacher: Teacher | None = None,
    policies: Mapping[str, float] | None = None,
) -> Evaluation:
    """Ask an index all queries.

    Judgements of entries that the index does not hold are left aside; a query that keeps none is unanswerable, and no
    answer is the right one. So entries can be left out of an index on purpose, to measure what is refused.

    Args:
        index: The index.
        judged: The queries.
        first_stage: As for `FaqIndex.search`.
        candidates: As for `FaqIndex.search`.
        teacher: A bi-encoder that is measured alone, see `flipkd.retrieval.baselines.baseline_teacher`.
        policies: Further threshold policies by name, and the threshold of each; what they refuse is counted, too.

    Raises:
        FlipkdError: If the index holds no entry that is judged relevant.
    """
    named = list(dict.fromkeys(entry for grades in judged.grades for entry in grades))
    held = index.store.known(named)
    if named and not held:
        own = next((f", such as {row.entry.id!r}" for row in index.store), "")
        raise FlipkdError(
            f"The index holds none of the {len(named)} entries that are judged relevant, such as {named[0]!r}. "
            f"Judgements name the index's own ids{own}, letter by letter."
        )
    if len(held) < len(named):
        announce("judgements", f"{len(named) - len(held)} entries left aside", "the index does not hold them")
    grades = [{entry: grade for entry, grade in each.items() if entry in held} for each in judged.grades]
    can = np.array([bool(each) for each in grades])
    asked = np.flatnonzero(can).tolist()
    wanted, queries = [grades[number] for number in asked], [judged.texts[number] for number in asked]
    bm25 = _order(bm25_order(index.store, queries), wanted)
    alone = None if teacher is None else _order(teacher_order(index.store, teacher, queries), wanted)
    found = index.search_many(judged.texts, top=DEPTH, first_stage=first_stage, candidates=candidates)
    first = [each.hits[0] if each.hits else None for each in found]
    # Below every threshold where nothing was found.
    best = np.array([-1.0 if hit is None else hit.probability for hit in first])
    right = np.array([hit is not None and hit.entry.id in each for hit, each in zip(first, grades, strict=True)])
    answer, decision = index.matcher.answer, index.matcher.decision
    thresholds = {"f1" if decision is None else decision.policy: answer.threshold, **(policies or {})}
    return Evaluation(
        bm25=bm25,
        teacher=alone,
        answerable=int(can.sum()),
        unanswerable=int((~can).sum()),
        first_stage=_order([found[number].candidates for number in asked], wanted),
        verified=_order([[hit.entry.id for hit in found[number].hits] for number in asked], wanted),
        refusals=tuple(_refusals(policy, at, best, can, right) for policy, at in thresholds.items()),
    )


def _refusals(
    policy: str, threshold: float, best: NDArray[np.float64], can: NDArray[np.bool_], right: NDArray[np.bool_]
) -> Refusals:
    """Of n queries: the best probability, whether an entry answers it, and whether the best entry does."""
    answered = best >= threshold
    shares = (~answered[~can], ~answered[can], right[answered])
    return Refusals(policy, threshold, *(float(share.mean()) if share.size else float("nan") for share in shares))


def _order(rankings: Sequence[Sequence[str]], grades: Sequence[dict[str, int]]) -> Order:
    if not rankings:
        return Order(float("nan"), float("nan"), float("nan"))
    starts = range(0, len(rankings), _AT_ONCE)
    parts = [_figures(rankings[at : at + _AT_ONCE], grades[at : at + _AT_ONCE]) for at in starts]
    return Order(*np.concatenate(parts, axis=1).mean(axis=1).tolist())


def _figures(rankings: Sequence[Sequence[str]], grades: Sequence[dict[str, int]]) -> NDArray[np.float64]:
    """(3, queries): success@1, MRR@10 and NDCG@10. The room it takes grows with the square of the queries."""
    ids = dict.fromkeys(entry for each in (*rankings, *grades) for entry in each)
    column = {entry: number for number, entry in enumerate(ids)}
    # A further column, of grade 0, stands for the ranks at which nothing was found.
    table = np.zeros((len(rankings), len(column) + 1), dtype=np.int8)
    order = np.full((len(rankings), DEPTH), len(column), dtype=np.int64)
    for row, (ranking, relevant) in enumerate(zip(rankings, grades, strict=True)):
        order[row, : len(ranking[:DEPTH])] = [column[entry] for entry in ranking[:DEPTH]]
        for entry, grade in relevant.items():
            table[row, column[entry]] = grade
    return np.stack([each(order, table) for each in (success, mrr, ndcg)])
