"""kill -9 in the middle of an update."""

import subprocess
import sys
import time

import numpy as np
import pytest

from flipkd.retrieval.engine import Place
from flipkd.retrieval.store import Store

pytest.importorskip("milvus_lite", reason="needs the extra index")

UPDATES = """
import sys
from types import SimpleNamespace
import numpy as np
from flipkd.retrieval import index
from flipkd.retrieval.entries import Entry

index.CHUNK = 8
matcher = SimpleNamespace(
    fingerprint="stand-in",
    student=SimpleNamespace(width=4),
    encode=lambda texts, **_: np.tile(np.float32([1, 0, 0, 0]), (len(texts), 1)),
)
with index.FaqIndex.build(matcher, [Entry(f"e{n}", "generation 0") for n in range(32)], sys.argv[1]) as made:
    for generation in range(1, 10_000):
        made.add([Entry(f"e{n}", f"generation {generation}", str(generation)) for n in range(32)])
        print(generation, flush=True)
"""


def test_no_finished_update_is_lost(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", UPDATES, str(tmp_path / "idx")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    for line in child.stdout:
        if int(line) == 12:
            break
    time.sleep(0.013)  # into the middle of one
    child.kill()
    finished = int((["12", *child.stdout.read().split()])[-1])
    child.wait()
    store = Store.open(Place(str(tmp_path / "idx")))
    try:
        rows = list(store)
        assert sorted(row.entry.id for row in rows) == sorted(f"e{n}" for n in range(32))
        generations = {row.entry.id: int(row.entry.answer) for row in rows}
        assert set(generations.values()) <= {finished, finished + 1}
        # What is written together is there together, with its words and its vector.
        for start in range(0, 32, 8):
            assert len({generations[f"e{n}"] for n in range(start, start + 8)}) == 1
        for row in rows:
            assert row.text == f"generation {row.entry.answer}"
            np.testing.assert_array_equal(row.vector, [1, 0, 0, 0])
        (found,) = store.candidates([f"{generations['e0']}"], None, "bm25", 32)
        assert {row.entry.answer for row in found} == {str(generations["e0"])}
    finally:
        store.close()
