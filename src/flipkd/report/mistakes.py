"""The surest mistakes of an artefact, from the predictions that its run kept."""

import numpy as np

from flipkd.errors import FlipkdError
from flipkd.evaluation.decisions import REVIEW
from flipkd.evaluation.mistakes import worst_mistakes
from flipkd.evaluation.predictions import PREDICTIONS
from flipkd.report.contents import answer_row
from flipkd.report.records import Records, Row, Table, shown

SHOWN = 5
"""How many of each kind."""
KINDS = {0: "false match", 1: "missed match"}


def mistakes(records: Records) -> Table:
    """The wrong decisions whose probability is farthest from the label, of either kind.

    Args:
        records: The artefact.

    Raises:
        FlipkdError: If the predictions are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file, probability = PREDICTIONS.as_posix(), f"{answer_row(records)}_probability"
    columns = {"text_a": "", "text_b": "", "label": "", probability: ".3f"}
    caption = "The surest mistakes of either kind"
    path = records.folder / PREDICTIONS
    none = Table(caption, file, tuple(columns), ())
    if not path.is_file():
        return none
    try:
        there = set(pq.read_schema(path).names)
        if not {*columns, "match"} <= there:
            return none
        # With bands alone there are decisions beside the matches.
        decisions = sorted({"decision"} & there)
        table = pq.read_table(path, columns=[*columns, "match", *decisions])
        label, said, match = (table[name].to_numpy() for name in ("label", probability, "match"))
        review = np.array(table["decision"].to_pylist()) == REVIEW if decisions else None
        wrong = worst_mistakes(label, said, match, review).tolist()
        chosen = [(kind, row) for kind in KINDS for row in [row for row in wrong if label[row] == kind][:SHOWN]]
        cells = [{name: table[name][row].as_py() for name in columns} for _, row in chosen]
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise FlipkdError(f"{path} is damaged ({error}). Take the artefact from where it came once more.") from error
    rows = []
    for (kind, row), found in zip(chosen, cells, strict=True):
        made = tuple(shown(found[name], file, (str(row), name), form) for name, form in columns.items())
        rows.append(Row(KINDS[kind], made, f"{file}: {row}"))
    decided = "every measured pair is decided rightly" if review is None else "no pair is accepted or rejected wrongly"
    return Table(caption, file, tuple(columns), tuple(rows), empty=f"There are none: {decided}.")
