"""The FAQ measure: which queries and entries it takes, and what its table says. No model is run."""

import numpy as np
from scipy.special import expit

from benchmarks.faq import POLICIES, judged_pairs, kept, report, thresholds
from flipkd.evaluation.calibrators import prior_shift
from flipkd.matching.artefact import ArtefactSpec
from flipkd.matching.validation import ValidationRecord, decide_again
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.judged import Judged

ENTRIES = [Entry(f"q{n}", f"question {n}") for n in range(8)]
ORDER = {"success1": 0.5, "mrr10": 0.6, "ndcg10": 0.7}
LINE = {
    "set": "one", "entries": 6, "answerable": 3, "unanswerable": 1, "bm25": ORDER, "teacher": None,
    "first_stage": ORDER, "verified": ORDER, "refusals": [
        {"policy": "f1", "threshold": 0.5, "rightly_refused": 0.25, "wrongly_refused": 0.125, "right_answers": 0.75},
    ],
}  # fmt: skip


def pair(a, b, label):
    return {"text_a": a, "text_b": f"question {b}", "label": label}


def test_a_query_is_judged_by_its_matches_alone():
    pairs = [pair("x", 1, 1), pair("x", 2, 0), pair("x", 3, 1), pair("y", 4, 0)]
    judged = judged_pairs(pairs, ENTRIES, 10)
    assert judged.texts == ["x"]
    assert judged.grades == [{"q1": 1, "q3": 1}]


def test_a_quarter_of_the_queries_lose_all_their_entries_and_the_others_keep_their_order():
    judged = Judged(list("abcdefgh"), [{f"q{n}": 1, f"q{n - n % 2}": 1} for n in range(8)])
    entries = kept(ENTRIES, judged)
    lost = [grades for grades in judged.grades if not grades.keys() & {entry.id for entry in entries}]
    assert 2 <= len(lost) <= 3
    assert entries == [entry for entry in ENTRIES if entry in entries]


def test_the_table_has_the_last_line_of_each_set_and_no_row_of_a_teacher_that_was_not_measured():
    old = LINE | {"entries": 99}
    rows = [line for line in report([old, LINE]).splitlines() if line.startswith("| one")]
    assert rows == [
        "| one | 6 | 3 | 1 |",
        *(f"| one | {order} | 0.500 | 0.600 | 0.700 |" for order in ("bm25", "first_stage", "verified")),
        "| one | f1 | 0.500 | 0.250 | 0.125 | 0.750 |",
    ]


def test_a_threshold_at_another_prior_is_moved_back_to_the_artefacts_own_probability(artefact):
    (prior,) = {prior for _, prior in POLICIES if prior is not None}
    found = thresholds(artefact)
    spec = ArtefactSpec.read(artefact)
    there = decide_again(spec, ValidationRecord.read(artefact, spec), policy="f1", prior=prior)
    log_odds = np.linspace(-8, 8, 400)
    moved = expit(log_odds + prior_shift(spec.answer["match_rate"], prior))
    assert ((moved >= there.answer["threshold"]) == (expit(log_odds) >= found[f"f1, prior {prior:g}"])).all()
