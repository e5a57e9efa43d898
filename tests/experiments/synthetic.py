"""Cells with known figures, for the tests of the report."""

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from flipkd.experiments.cells import Cell, write_cell
from flipkd.experiments.grid import settings_digest
from flipkd.experiments.sets import PAIR_SETS

ROWS = 200
LABEL = np.arange(ROWS) % 2


def values(wrong):
    """Log-odds of which the first `wrong` say the opposite of the label, half of them on matches."""
    right = np.where(LABEL == 1, 1.0, -1.0) * np.linspace(1, 2, ROWS)
    return np.where(np.arange(ROWS) < wrong, -right, right)


def put(results, pair_set, method, wrong, seed=0, **others):
    """Write a cell whose F1 is 1 - wrong / ROWS; return it."""
    value = values(wrong)
    cell = Cell(
        **{
            "set": pair_set,
            "method": method,
            "seed": seed,
            "pairs": 100,
            "f1": f1_score(LABEL, value >= 0),
            "accuracy": float(((value >= 0) == LABEL).mean()),
            "ap": average_precision_score(LABEL, value),
            "auc": roc_auc_score(LABEL, value),
            "threshold": 0.0,
            "seconds": 90.0,
            "rows": ROWS,
            "trainable": 0.0123,
            "sample": "5a3b1e",
            "settings": settings_digest(PAIR_SETS[pair_set]) if pair_set in PAIR_SETS else "0c0ffee",
            "commit": "abc1234",
            "versions": {"flipkd": "0.1.0", "torch": "2.0"},
        }
        | others
    )
    write_cell(results, cell, row=np.arange(ROWS), label=LABEL, group=np.arange(ROWS), value=value)
    return cell


def section(text, name):
    """A section of a report, by its heading."""
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
