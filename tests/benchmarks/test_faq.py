"""The FAQ measure: which queries and entries it takes, and what its table says. No model is run."""

from benchmarks.faq import judged_pairs, kept, report
from flipkd.retrieval.entries import Entry

ENTRIES = [Entry(f"q{n}", f"question {n}") for n in range(8)]
ORDER = {"success1": 0.5, "mrr10": 0.6, "ndcg10": 0.7}
LINE = {
    "set": "one", "entries": 6, "answerable": 3, "unanswerable": 1, "bm25": ORDER, "teacher": None,
    "first_stage": ORDER, "verified": ORDER, "rightly_refused": 0.25, "wrongly_refused": 0.125,
}  # fmt: skip


def pair(a, b, label):
    return {"text_a": a, "text_b": f"question {b}", "label": label}


def test_a_query_is_judged_by_its_matches_alone():
    pairs = [pair("x", 1, 1), pair("x", 2, 0), pair("x", 3, 1), pair("y", 4, 0)]
    judged = judged_pairs(pairs, ENTRIES, 10)
    assert judged.texts == ["x"]
    assert judged.grades == [{"q1": 1, "q3": 1}]


def test_a_quarter_of_the_entries_is_left_out_and_the_others_keep_their_order():
    entries = kept(ENTRIES)
    assert len(entries) == 6
    assert entries == [entry for entry in ENTRIES if entry in entries]


def test_the_table_has_the_last_line_of_each_set_and_no_row_of_a_teacher_that_was_not_measured():
    old = LINE | {"rightly_refused": 0.99}
    table = report([old, LINE]).splitlines()
    rows = [line for line in table if line.startswith("| one")]
    assert [row.split(" | ")[1] for row in rows] == ["bm25", "first_stage", "verified"]
    assert rows[-1] == "| one | verified | 0.500 | 0.600 | 0.700 | 6 | 3 | 1 | 0.25 | 0.12 |"
