"""The retrieval sets of `flipkd reproduce`: each student is trained by `flipkd distill`, then ranks."""

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np

from flipkd.console import announce, console
from flipkd.data.table import PairTable
from flipkd.distill.config import DistillConfig
from flipkd.distill.run import distill
from flipkd.experiments.bm25 import bm25
from flipkd.experiments.cells import commit, digest_of, settings_behind
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.retrieval import rank_collection
from flipkd.experiments.retrieval_cells import RetrievalCell, read_retrieval, write_retrieval
from flipkd.experiments.retrieval_pairs import NEGATIVES, training_pairs
from flipkd.experiments.retrieval_sets import RETRIEVAL_SETS, Collection, RetrievalSet, read_collection
from flipkd.experiments.sets import FURTHER, PINNED, WARM_UP_PASSES, fixed_sample
from flipkd.files import write_whole
from flipkd.matching.matcher import Matcher
from flipkd.teacher.teacher import Teacher

TRAIN, VALIDATION = 600, 300
"""Pairs of a set's training and validation queries."""
QUERIES = 200
"""Test queries, and validation queries for the fusion, that are asked at most."""


def check_retrieval(config: ReproduceConfig) -> None:
    """Find out what would stop the retrieval sets before anything else takes hours.

    Raises:
        FlipkdError: If a data set is missing or malformed, or bm25s is not installed.
    """
    for name in config.retrieval_sets:
        _read(config, name)
        bm25(["a word"], ["a word"])


def run_retrieval(config: ReproduceConfig) -> None:
    """Train and rank the sets and seeds that have no cells yet.

    Args:
        config: Which, and where the results go.

    Raises:
        FlipkdError: If a data set is missing, or a training fails.
    """
    results = Path(config.results)
    collections = {name: _read(config, name) for name in config.retrieval_sets}
    done = {
        (cell.set, cell.seed)
        for cell in read_retrieval(results)
        if cell.set in collections
        and cell.settings == retrieval_digest(RETRIEVAL_SETS[cell.set])
        and cell.sample == collections[cell.set].digest
    }
    wanted = [(name, seed) for seed in range(config.seeds) for name in config.retrieval_sets]
    missing = [key for key in wanted if key not in done]
    announce("retrieval", f"{len(missing)} of {len(wanted)} sets and seeds to run", f"the others are in {results}")
    for name, seed in missing:
        console.rule(f"{name}, seed {seed}")
        retrieval_set = RETRIEVAL_SETS[name]
        collection = collections[name]
        folder = _student(config, retrieval_set, collection, seed)
        # Without a cache, so that their seconds are those of encoding.
        teacher, untuned = (
            Teacher.load(model, device=config.device, cache=False)
            for model in (str(folder / "teacher"), retrieval_set.teacher)
        )
        cache = Path(config.cache_dir).expanduser()
        matcher = Matcher.from_pretrained(folder, device=config.device, cache_dir=cache)
        found = rank_collection(collection, matcher, teacher, untuned, queries=QUERIES, validation_queries=QUERIES)
        named = {"settings": retrieval_digest(retrieval_set), "sample": collection.digest, "commit": commit()}
        cells = [RetrievalCell.of(each, retrieval_set=name, seed=seed, **named) for each in found]
        asked = collection.queries["test"].sample(QUERIES)
        group = asked.groups() if retrieval_set.families else np.arange(len(asked))
        write_retrieval(results, cells, found, asked.ids, group)


def _read(config: ReproduceConfig, name: str) -> Collection:
    return read_collection(RETRIEVAL_SETS[name], Path(config.data).expanduser())


def settings_of(retrieval_set: RetrievalSet) -> dict[str, Any]:
    """What the runs of a set differ in from the defaults of `flipkd distill`."""
    return {
        "student": retrieval_set.student,
        "teacher": retrieval_set.teacher,
        "keep_teacher": True,
        "directed": True,
        "baseline": False,
        "warmup_epochs": WARM_UP_PASSES,
        **PINNED.get(retrieval_set.student, {}),
    }


def retrieval_digest(retrieval_set: RetrievalSet) -> str:
    """Names all settings behind the cells of a set."""
    made = settings_behind(DistillConfig(**settings_of(retrieval_set)))
    return digest_of([made, retrieval_set.file, retrieval_set.fields, TRAIN, VALIDATION, NEGATIVES, QUERIES, FURTHER])


def _student(config: ReproduceConfig, retrieval_set: RetrievalSet, collection: Collection, seed: int) -> Path:
    """The artefact for a set and seed, trained if it is not there."""
    # Named by content and settings: what was trained on or by others must not be taken for this.
    named = f"{collection.digest[:6]}-{retrieval_digest(retrieval_set)[:6]}"
    folder = Path(config.work) / f"{retrieval_set.name}-{named}-{seed}"
    if folder.is_dir():
        return folder
    files = {}
    known: set[str] = set()
    for split, limit in (("train", TRAIN), ("validation", VALIDATION)):
        files[split] = folder.with_name(f"{folder.name}-{split}.jsonl")
        pairs = training_pairs(collection, split, limit=limit)
        known.update(pairs.texts())
        _write(files[split], pairs)
    further = folder.with_name(f"{folder.name}-further.txt")
    texts = further_texts(collection, known)
    write_whole(further, "".join(f"{text}\n" for text in texts))
    return distill(
        DistillConfig(
            train=str(files["train"]),
            validation=str(files["validation"]),
            unlabelled=str(further) if texts else None,
            output=str(folder),
            **settings_of(retrieval_set),
            seed=seed,
            device=config.device,
            cache_dir=config.cache_dir,
        )
    )


def further_texts(collection: Collection, known: Set[str]) -> list[str]:
    """Texts without labels for the warm-up: what a user has before anyone asks, entries and the queries of training.

    Args:
        collection: The set.
        known: Texts of the pairs.

    Returns:
        At most `FURTHER`, each on one line.
    """
    texts = dict.fromkeys([*collection.texts, *collection.queries["train"].texts])
    chosen = fixed_sample([text for text in texts if text not in known], FURTHER)
    return [" ".join(text.splitlines()) for text in chosen]


def _write(file: Path, pairs: PairTable) -> None:
    rows = zip(pairs.text_a, pairs.text_b, pairs.require_labels().tolist(), strict=True)
    lines = [json.dumps({"text_a": a, "text_b": b, "label": label}, ensure_ascii=False) + "\n" for a, b, label in rows]
    write_whole(file, "".join(lines))
