"""The report of `flipkd reproduce`: everything in it is computed from the cells and their predictions.

Losses are shown like wins, and what is not there yet as a dash.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from flipkd.console import announce
from flipkd.errors import FlipkdError
from flipkd.evaluation.intervals import LEVEL
from flipkd.evaluation.paired import FEWEST_INDEPENDENT
from flipkd.experiments.cells import Cell
from flipkd.experiments.comparisons import DRAWS, SetResults, by_set, over_seeds, read_results
from flipkd.experiments.marks import Condition, marks, of_today
from flipkd.experiments.retrieval_cells import RetrievalCell, read_queries, read_retrieval, retrieval_table
from flipkd.experiments.retrieval_grid import retrieval_digest
from flipkd.experiments.retrieval_sets import RETRIEVAL_SETS
from flipkd.experiments.sections import DASH, code, gains_section, listed, set_section, table, worth_section
from flipkd.experiments.sets import FURTHER, PAIR_SETS

REPORT = "report.md"
PICTURE = "f1.png"
BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"

SUMMARY = (
    "flipped_decoder",
    "flipped_answer",
    "fine_tuned_long",
    "teacher",
    "flipped_teacher",
    "fine_tuned_teacher",
    "floor",
)
"""The methods of the short table."""


def write_report(results: Path) -> Path:
    """Write ``report.md`` and the picture ``f1.png`` of a results folder.

    Args:
        results: The folder, with any of the sets, methods and seeds.

    Returns:
        The report.

    Raises:
        FlipkdError: If a cell or its predictions cannot be read, or cells of a set cannot be paired.
    """
    found = read_results(results)
    parts = [
        _heading(found),
        *_picture(results, found),
        "## Summary",
        _mean_table(found),
        _marks(found),
        *gains_section(found),
        *worth_section(found),
    ]
    parts += [set_section(each) for each in found]
    parts += _retrieval(results)
    file = results / REPORT
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return file


def summary_table(cells: Iterable[Cell]) -> str:
    """F1 and AP of the methods that matter most: a row a set, Markdown without a last newline.

    Means over the seeds that all of them have which have a cell: those of other seeds could not be compared.
    """
    sorted_in = by_set(cells)
    names = [*PAIR_SETS, *(name for name in sorted_in if name not in PAIR_SETS)]
    rows = []
    for name in names:
        of_set = {method: by_seed for method, by_seed in sorted_in.get(name, {}).items() if method in SUMMARY}
        common = set.intersection(*map(set, of_set.values())) if of_set else set()
        shared = {method: {seed: of[seed] for seed in common} for method, of in of_set.items() if common}
        means = [[over_seeds(shared, method, figure) for figure in ("f1", "ap")] for method in SUMMARY]
        shown = [" / ".join(f"{mean[0]:.3f}" if mean else DASH for mean in pair) for pair in means]
        rows.append([name, *shown, str(len(common)) if common else DASH])
    return table(["F1 / AP", *map(code, SUMMARY), "seeds"], rows)


def update_between(text: str, begin: str, end: str, new: str) -> str:
    """Put something new between two markers, in the place of what is there.

    Args:
        text: The whole text.
        begin: The first marker; kept.
        end: The last marker; kept.
        new: What is to stand between them, on lines of its own.

    Raises:
        FlipkdError: If the markers are not there, once each and in this order.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end) or text.count(begin) > 1 or text.count(end) > 1:
        raise FlipkdError(f"The text must hold the markers {begin} and {end} once each and in this order; add them.")
    return f"{before}{begin}\n{new.strip()}\n{end}{after}"


def update_file(file: Path, cells: Iterable[Cell]) -> None:
    """Put the summary table between ``<!-- results: begin -->`` and ``<!-- results: end -->`` of a Markdown file.

    Raises:
        FlipkdError: If the file does not hold the markers.
    """
    text = file.read_text(encoding="utf-8")
    try:
        updated = update_between(text, BEGIN, END, summary_table(cells))
    except FlipkdError as error:
        raise FlipkdError(f"{file}: {error}") from error
    file.write_text(updated, encoding="utf-8")


def _heading(found: Sequence[SetResults]) -> str:
    cells = [cell for each in found for cell in each.every]
    libraries = sorted({(name, version) for cell in cells for name, version in cell.versions.items()})
    rows = []
    for each in found:
        known = PAIR_SETS.get(each.name)
        about = (known.domain, known.student, known.teacher) if known else (DASH,) * 3
        pairs = listed(sorted({cell.pairs for cell in each.every}))
        first = each.every[0]
        recipe = DASH if known is None else "of today" if of_today(each) else f"earlier: {first.settings}"
        share = [f"{each.rows} in {each.groups}", f"{each.matches / each.rows:.1%}", f"{each.all_match:.3f}"]
        rows.append([each.name, *about, pairs, *share, code(first.sample), recipe, listed(each.seeds)])
    none = [name for name in PAIR_SETS if name not in {each.name for each in found}]
    return "\n\n".join(
        [
            "# Does flipping work?",
            "Written by `flipkd reproduce` from `cells.jsonl` and `predictions/` beside it; nothing here is typed in "
            f"by hand. Commits of the cells: {listed(dict.fromkeys(code(cell.commit) for cell in cells))}. "
            f"Versions: {listed(f'{name} {version}' for name, version in libraries)}.",
            "Thresholds, the best F1 on validation for every method, are frozen. Validation's labels also gave the "
            "two thresholds on the teacher's similarity that flipping's training reads. Figures are means over the "
            "seeds on the same test rows, ± the standard deviation over the seeds. The F1 of calling every pair a "
            "match stands below: what is near it, or not above `floor`, the overlap of words, in F1 and in AP, "
            "has learnt little; read both together. Differences are in points (hundredths) with "
            f"{LEVEL:.0%} intervals: {DRAWS:,} draws of the test rows, pairs that share a text together (on "
            "ths_faq, whose second texts are one list that training has too, those of one question), the same rows for "
            "both methods and all seeds, over the seeds that both have. They speak of other test pairs, not of other "
            "trainings. Bold: 0 lies outside, before rounding; †: not if the seeds are drawn anew, too, which of three "
            "is a rough guess. Each stands alone: of so many some are bold by chance.",
            "Every set is measured with one recipe; where that is an earlier one, the defaults have changed since, and "
            "its figures are not those of today's. Recipes were changed after test figures of earlier ones on these "
            "same rows had been seen. Their values were chosen on other pairs, but that Gemma's rate was lowered is "
            "owed to a run of this table that went wrong, too (docs/lab-log.md).",
            f"By today's recipe flipping's warm-up also reads up to {FURTHER:,} texts of other training pairs, without "
            "their labels, which neither fine-tuning nor `no_teacher_answer` can use. Cells of the recipe before whose "
            "training that does not change were kept, and today's digest was written into their lines: their commit "
            "is an earlier one.",
            table(
                [
                    "set",
                    "about",
                    "student",
                    "teacher",
                    "pairs learnt from",
                    "test rows in groups",
                    "match",
                    "all match, F1",
                    "sample",
                    "recipe",
                    "seeds",
                ],
                rows,
            ),
            f"Sets without a cell: {listed(none)}.",
        ]
    )


def _picture(results: Path, found: Sequence[SetResults]) -> list[str]:
    if not found:
        return []
    if find_spec("matplotlib") is None:
        announce("pictures", "none", "matplotlib is not installed: pip install 'flipkd[plots]'")
        return []
    from flipkd.experiments.pictures import draw_results

    draw_results(results / PICTURE, found)
    return [f"![F1 of every set and method, and the differences to fine_tuned_long]({PICTURE})"]


def _retrieval(results: Path) -> list[str]:
    cells = read_retrieval(results)
    if not cells:
        return ["## Retrieval", "No set has been run yet."]
    earlier = {cell.set for cell in cells} - {cell.set for cell in cells if _is_of_today(cell)}
    return [
        "## Retrieval",
        "Written from `retrieval.jsonl`. Commits of the cells: "
        f"{listed(dict.fromkeys(code(cell.commit) for cell in cells))}. Sets of an earlier recipe alone: "
        f"{listed(sorted(earlier))}. Entries are ranked for the test queries; figures are means over the seeds ± the "
        "standard deviation over them. Differences are in points with intervals as above, of draws of the queries, "
        "those of the FAQ sets that share a relevant entry together; a dash where the figures of each query were not "
        f"kept yet, or where the queries are worth fewer than {FEWEST_INDEPENDENT} independent ones. `decoder` and "
        "`encoder_decoder` order the encoder's best entries anew. `untuned` is the teacher before training. Teacher "
        "and student learnt from the same pairs, whose non-matches are entries at random, the student by today's "
        "recipe from further entries and training queries, too; on covid_faq the student saw what the teacher says of "
        "its own training pairs. Until 2026-11-28 the non-matches were what BM25 ranks high, with which the teacher "
        "ranked worse than before its training on two of the three sets. They were changed after those test figures "
        "had been seen, to what ranked the validation queries of two sets best, of three mixes, and those of the third "
        "within chance of the best (docs/lab-log.md). `seconds` "
        "are those of answering, entries encoded included.",
        retrieval_table(cells, read_queries(results, cells)),
    ]


def _is_of_today(cell: RetrievalCell) -> bool:
    return cell.set in RETRIEVAL_SETS and cell.settings == retrieval_digest(RETRIEVAL_SETS[cell.set])


def _mean_table(found: Sequence[SetResults]) -> str:
    return summary_table(cell for each in found for cell in each.every)


def _marks(found: Sequence[SetResults]) -> str:
    earlier = [each.name for each in found if each.name in PAIR_SETS and not of_today(each)]
    lines = [
        "## What it shows",
        "The marks were set before the table was run; how they are counted where they leave it open was settled when "
        "first figures were there. They are counted over the sets that have cells of both methods, "
        f"of today's recipe; of an earlier one: {listed(earlier)}. A mark that names no metric is counted on F1 (our "
        "reading), and AP stands beside it uncounted. The fifth compares teacher and further texts with neither. Being "
        "above the teacher is not counted where the answer is the teacher's alone; where both two-model rows are the "
        "teacher's alone they are equal, which `at least` counts.",
    ]
    for number, mark in enumerate(marks(found), start=1):
        entries = [f"{number}. **{mark.text}: {mark.verdict}.**"]
        entries += [f"   - {_counted(condition)}" for condition in mark.conditions]
        entries += [f"   - beside it, uncounted: {_counted(condition)}" for condition in mark.beside]
        lines.append("\n".join(entries))
    return "\n\n".join(lines)


def _counted(condition: Condition) -> str:
    """Such as ``flipped ahead: 3 of 4 sets (asked: 5 of 7): mqp, rqe, atec; cannot be told yet``."""
    known, held = condition.known, condition.held
    sentence = (
        f"{condition.text}: {len(held)} of {len(known)} sets (asked: {condition.asked} of {len(PAIR_SETS)}): "
        f"{listed(held)}; {condition.verdict}."
    )
    missed = [name for name in known if name not in held]
    if missed:
        sentence += f" Not on {listed(missed)}."
    if condition.alone:
        sentence += f" The teacher alone answers, as validation chose, on {listed(condition.alone)}."
    return sentence + (f" Fewer seeds than asked for: {listed(condition.thin)}." if condition.thin else "")
