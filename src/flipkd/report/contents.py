"""What card and report say: tables of an artefact's own figures, and sentences that follow from them.

Sentences hold no number, so that every number stands in a table that names its file and key.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flipkd.evaluation.paired import FEWEST_INDEPENDENT
from flipkd.evaluation.predictions import answer_column
from flipkd.evaluation.table import ONE_MODEL, TWO_MODELS, in_sections
from flipkd.matching.artefact import SPEC_FILE
from flipkd.report.records import Records, Table, facts, grid, is_number, leaves

METRICS_FILE = "evaluation/metrics.json"
CHECK_FILE = "evaluation/self_check.json"
RUN_FILE = "training/run.json"
LOG_FILE = "training/log.jsonl"
NAMES = ONE_MODEL | TWO_MODELS
OTHERS = {
    "fine_tuned": "plain fine-tuning",
    "teacher": "the teacher",
    "fine_tuned_teacher": "fine-tuning joined with the teacher (two models)",
    "zero_shot": "the untrained student",
}
"""What the answer is set beside, in words."""

METHOD_COLUMNS = {
    "f1": ".3f", "ap": ".3f", "auc": ".3f", "accuracy": ".3f", "precision": ".3f", "recall": ".3f", "threshold": ".4g",
    "n": "",
}  # fmt: skip
GAP_COLUMNS = {
    "ours": ".3f", "theirs": ".3f", "difference": "+.3f", "low": "+.3f", "high": "+.3f", "missed_below": ".3f",
}  # fmt: skip
LOG_COLUMNS = {
    "step": "", "epoch": ".3g", "loss": ".4g", "ce": ".4g", "soft": ".4g", "mcl": ".4g", "distillation": ".4g",
    "grad_norm": ".3g",
}  # fmt: skip


def answer_row(records: Records) -> str:
    """The row of the table that is the artefact's own answer."""
    sources = records.value(SPEC_FILE, "answer", "sources")
    return answer_column(sources if isinstance(sources, list) else ()).removesuffix("_probability")


def answer(records: Records) -> list[Table]:
    """What answers, how it decides, and where the encoder alone may."""
    band = ["low", "high", "skipped", "changed", "changed_held_out", "rows"]
    cascade = [(name.replace("_", " "), ["cascade", name], ".4g") for name in band]
    decided = [(name, ["decision", name], ".4f") for name in ("policy", "threshold", "reject", "reason")]
    further = [
        facts(records, "How it decides", SPEC_FILE, decided),
        *_achieved(records),
        facts(records, "Cascade: the band in which the decoder is asked", SPEC_FILE, cascade),
        facts(records, "Cascade: how it came about", METRICS_FILE, [("reason", ["cascade", "reason"], "")]),
    ]
    return [facts(records, "What answers", SPEC_FILE, _answering(records)), *(table for table in further if table.rows)]


def _achieved(records: Records) -> list[Table]:
    """What the decisions achieve on validation, where they were chosen, and on the measured pairs."""
    splits = {"validation": "validation", "measured": str(records.value(METRICS_FILE, "measured_on"))}
    sides = {"accepted": "called a match", "rejected": "called no match"}
    parts = [
        (f"{name}, {side}", ("decision", split, key)) for split, name in splits.items() for key, side in sides.items()
    ]
    whole = [(name, ("decision", split)) for split, name in splits.items()]
    of_part = {"share": ".3f", "precision": ".3f", "precision_at_least": ".3f", "pairs": ""}
    of_whole = {"recall": ".3f", "review": ".3f", "match_rate": ".3f", "rows": ""}
    return [
        grid(records, "How precise its decisions are", METRICS_FILE, parts, of_part),
        grid(records, "What its decisions find, and leave to review", METRICS_FILE, whole, of_whole),
    ]


def _answering(records: Records) -> list[tuple[str, list[str], str]]:
    sources = records.value(SPEC_FILE, "answer", "sources")
    weighed = enumerate(sources if isinstance(sources, list) else ())
    return [
        ("base model", ["base_model"], ""),
        ("teacher", ["teacher", "name"], ""),
        ("teacher kept", ["teacher", "kept"], ""),
        ("the answer uses", ["answer", "sources"], ""),
        *((f"weight of the {source}", ["answer", "weights", str(place)], ".4g") for place, source in weighed),
        ("bias", ["answer", "bias"], ".4g"),
        ("threshold on the probability", ["answer", "threshold"], ".4f"),
        ("share of matches it reckons with", ["answer", "match_rate"], ".4g"),
        ("why this answer", ["answer", "reason"], ""),
        ("both orders averaged", ["symmetric"], ""),
        ("order of the texts matters", ["directed"], ""),
        ("prompt", ["template", "prompt"], ""),
        ("each text is cut at, tokens", ["template", "max_text_tokens"], ""),
        ("vectors are read at", ["sites"], ""),
        ("pooling", ["pooling"], ""),
    ]


def essentials(records: Records) -> Table:
    """What the card says of the answer and the run, in one table."""
    of_spec = [
        ("base model", ["base_model"], ""),
        ("teacher", ["teacher", "name"], ""),
        ("the answer uses", ["answer", "sources"], ""),
        ("threshold on the probability", ["answer", "threshold"], ".4f"),
        ("what it was chosen for", ["decision", "reason"], ""),
        ("why this answer", ["answer", "reason"], ""),
        ("seed", ["seed"], ""),
        ("flipkd", ["versions", "flipkd"], ""),
    ]
    parts = (
        facts(records, "", SPEC_FILE, of_spec),
        facts(records, "", METRICS_FILE, [("cascade", ["cascade", "reason"], "")]),
        facts(records, "", RUN_FILE, [("finished (UTC)", ["finished"], "")]),
    )
    return Table("In short", SPEC_FILE, ("value",), tuple(row for part in parts for row in part.rows))


def methods(records: Records) -> Table:
    """The table of all methods, those of two models last."""
    sections = in_sections(records.mapping(METRICS_FILE, "rows"))
    rows = [(name, ("rows", key)) for section in sections for key, name in section]
    return grid(records, "All methods, on the same pairs", METRICS_FILE, rows, METHOD_COLUMNS)


def flatters(records: Records) -> bool:
    """Whether the figures are of validation, on which thresholds and the answer were fitted."""
    return bool(records.value(METRICS_FILE, "measured_on") == "validation")


def measurement(records: Records) -> Table:
    """What the figures are of."""
    entries = [
        ("measured on", ["measured_on"], ""),
        ("level of the intervals", ["differences", "level"], ""),
        ("draws of the bootstrap", ["differences", "draws"], ""),
        ("independent groups of pairs", ["differences", "independent"], ".1f"),
    ]
    return facts(records, "What the figures are of", METRICS_FILE, entries)


def differences(records: Records) -> Table:
    """The answer against the other methods, with intervals."""
    rows = [
        (f"{NAMES.get(row, row)}, {metric}", ("differences", "against", row, metric))
        for row in records.mapping(METRICS_FILE, "differences", "against")
        for metric in records.mapping(METRICS_FILE, "differences", "against", row)
    ]
    caption = f"The {NAMES[answer_row(records)]} (ours) less each other method (theirs)"
    return grid(records, caption, METRICS_FILE, rows, GAP_COLUMNS)


def standings(records: Records) -> list[str]:
    """A sentence on each other method: whether the answer is ahead in F1 or behind, and whether that is settled."""
    ours = answer_row(records)
    return [f"The {NAMES[ours]} is {said}." for said in (_standing(records, ours, row) for row in OTHERS) if said]


def _standing(records: Records, ours: str, row: str) -> str:
    """How the answer stands beside one method; empty where a figure is missing."""
    one, other = (records.number(METRICS_FILE, "rows", name, "f1") for name in (ours, row))
    if one is None or other is None:
        return ""
    side = "ahead of" if one > other else "behind" if one < other else "level with"
    place = f"{side} {OTHERS[row]} in F1 on these pairs"
    low, high = (records.number(METRICS_FILE, "differences", "against", row, "f1", end) for end in ("low", "high"))
    independent = records.number(METRICS_FILE, "differences", "independent")
    if independent is not None and independent < FEWEST_INDEPENDENT:
        return f"{place}; the pairs are too few, or share too many texts, for an interval"
    if low is None or high is None or independent is None:
        return f"{place}; no interval is recorded, so it may be chance"
    if low > 0 or high < 0:
        return f"{place}, and the interval leaves out no difference at all"
    ends = [records.number(METRICS_FILE, "differences", "against", row, "auc", end) for end in ("low", "high")]
    low, high = (0.0 if end is None else end for end in ends)
    side = "ahead" if low > 0 else "behind" if high < 0 else ""
    more = f"; but in AUC it is {side}, and the interval leaves out no difference at all" if side else ""
    return f"{place}, by less than these pairs can tell from none{more}"


def calibration(records: Records) -> Table:
    """How far probabilities are from what happened: a row for each group of figures that is recorded."""
    paths = [path[:-1] for path in leaves(records.mapping(METRICS_FILE, "calibration"), ("calibration",))]
    groups = list(dict.fromkeys(paths))
    columns = dict.fromkeys(name for path in groups for name in records.mapping(METRICS_FILE, *path))
    rows = [(", ".join(path[1:]), path) for path in groups]
    forms = {name: ".4f" for name in columns if name != "n"} | {"n": ""}
    return grid(records, "Calibration", METRICS_FILE, rows, {name: forms[name] for name in columns})


def trusted(records: Records) -> list[Table]:
    """Where the teacher was trusted."""
    counts = [
        "n", "kept", "kept_matches", "dropped_matches", "kept_non_matches", "dropped_non_matches", "trusted_positives",
        "trusted_negatives", "agreement",
    ]  # fmt: skip
    of = {
        SPEC_FILE: [(name, ["thresholds", name], ".4f") for name in ("tau_p", "tau_n", "reason")],
        METRICS_FILE: [(name.replace("_", " "), ["dual_thresholds", name], ".4g") for name in counts],
    }
    captions = ("Dual thresholds of the teacher", "What they keep and drop of validation")
    return [
        facts(records, caption, file, entries) for caption, (file, entries) in zip(captions, of.items(), strict=True)
    ]


def log(records: Records) -> Table:
    """The first and the last record of each stage."""
    trained = [(line, found) for line, found in records.mapping(LOG_FILE).items() if _trains(found)]
    by_stage: dict[str, list[str]] = {}
    for line, found in trained:
        by_stage.setdefault(str(found.get("stage", "training")), []).append(line)
    rows = [
        (f"{stage.replace('_', ' ')}, {when}", (lines[place],))
        for stage, lines in by_stage.items()
        for when, place in (("first", 0), ("last", -1))
    ]
    return grid(records, "First and last record of each stage", LOG_FILE, rows, LOG_COLUMNS)


def _trains(record: Any) -> bool:
    return isinstance(record, dict) and is_number(record.get("loss"))


def data(records: Records) -> Table:
    """The pairs, by split."""
    rows = [(name, ("data", name)) for name in records.mapping(SPEC_FILE, "data")]
    return grid(records, "Labelled pairs", SPEC_FILE, rows, {"source": "", "pairs": "", "digest": ""})


def settings(records: Records) -> Table:
    """What was set otherwise than the defaults of the version that ran."""
    changed = records.mapping(RUN_FILE, "changed")
    paths = dict.fromkeys(path[:-1] for path in _values(changed, ("changed",)))
    rows = [(".".join(path[1:]), path) for path in paths]
    return grid(records, "Settings that differ from the defaults", RUN_FILE, rows, {"value": "", "default": ""})


def _values(changed: Mapping[str, Any], path: Sequence[str]) -> list[tuple[str, ...]]:
    """The paths of the values in the record of changed settings; a value may itself be a mapping."""
    found: list[tuple[str, ...]] = []
    for name, entry in changed.items():
        if isinstance(entry, dict):
            here = (*path, name)
            found += [(*here, "value")] if "value" in entry else _values(entry, here)
    return found


def run(records: Records) -> list[Table]:
    """When, where, how long, and with what."""
    seconds = [(name.replace("_", " "), ["seconds", name], ".1f") for name in records.mapping(METRICS_FILE, "seconds")]
    versions = [(name, ["versions", name], "") for name in records.mapping(SPEC_FILE, "versions")]
    hardware = [(name, ["hardware", name], "") for name in records.mapping(RUN_FILE, "hardware")]
    entries = [("finished (UTC)", ["finished"], ""), ("command", ["command"], ""), ("python", ["python"], "")]
    return [
        facts(records, "Run", RUN_FILE, [*entries, *hardware]),
        facts(records, "Seed", SPEC_FILE, [("seed", ["seed"], "")]),
        facts(records, "Time in seconds", METRICS_FILE, seconds),
        facts(records, "Versions", SPEC_FILE, versions),
    ]


def self_check(records: Records) -> Table:
    """What was found when the artefact was read back from disk."""
    checks = records.value(CHECK_FILE, "checks")
    rows = [
        (str(found.get("name", "check")), ("checks", str(number)))
        for number, found in enumerate(checks if isinstance(checks, list) else ())
        if isinstance(found, dict)
    ]
    return grid(records, "Self-check", CHECK_FILE, rows, {"found": "", "passed": ""})


def limits(records: Records) -> list[str]:
    """What the figures cannot show."""
    said = []
    if flatters(records):
        said.append(
            "No test set was given: the figures are of validation, on which thresholds, calibration and the answer "
            "were fitted. They flatter; expect less on other pairs."
        )
    if records.mapping(METRICS_FILE, "differences"):
        said.append(
            "An interval is of other pairs of the same kind, not of other trainings: a true difference smaller than "
            "missed_below would often not show on so many pairs, and pairs of another kind can give other figures."
        )
    else:
        said.append("No intervals are recorded, so small differences between methods may be chance.")
    return [
        *said,
        "Thresholds, calibration and the choice of the answer were fitted on validation pairs and frozen; their number "
        "stands under the data. The fewer they are, the less sure is the threshold.",
        "It is one run with one seed: another seed gives somewhat other figures.",
        "A probability is calibrated for the share of matches among the validation pairs; where matches are rarer or "
        "more frequent, it is off, unless flipkd match is told so (--prior).",
    ]
