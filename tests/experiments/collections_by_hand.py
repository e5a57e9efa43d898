"""A toy retrieval set on disk."""

import gzip
import json

ENTRIES = [
    {"id": "e0", "question": "how do i reset my pin", "answer": "send a text"},
    {"id": "e1", "question": "what is the cost of a new card", "answer": "no fee"},
    {"id": "e2", "question": "how do i open a new account", "answer": "answer the query"},
    {"id": "e3", "question": "how do i close my account", "answer": "send money and close"},
    {"id": "e4", "question": "my card is lost or stolen", "answer": "new card and new pin"},
    {"id": "e5", "question": "transfer money to my account", "answer": "top up and transfer"},
]
QUERIES = [
    ("t0", "reset the pin of my card", "train"),
    ("t1", "cost of a card", "train"),
    ("t2", "nobody knows", "train"),
    ("t3", "LOST card", "train"),
    ("v0", "open account", "validation"),
    ("v1", "lost card", "validation"),
    ("v2", "new pin", "validation"),
    ("x0", "close account", "test"),
    ("x1", "receive money", "test"),
    ("x2", "what is the fee of a card", "test"),
]
QRELS = {
    "train": [("t0", "e0", 2), ("t0", "e4", 1), ("t1", "e1", 1), ("t3", "e4", 1)],
    "validation": [("v0", "e2", 1), ("v1", "e4", 1), ("v2", "e0", 1)],
    "test": [("x0", "e3", 2), ("x0", "e2", 1), ("x1", "e5", 1), ("x2", "e1", 1)],
}


def write_set(folder, *, entries=ENTRIES, queries=QUERIES, **qrels):
    """Write the set to `folder`/toy; qrels by split replace those above."""
    (folder / "toy").mkdir(exist_ok=True)

    def write(name, lines):
        with gzip.open(folder / "toy" / name, "wt", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)

    write("faq.jsonl.gz", map(json.dumps, entries))
    write("queries.jsonl.gz", (json.dumps({"id": q, "text": text, "split": split}) for q, text, split in queries))
    for split, judged in (QRELS | qrels).items():
        write(f"qrels_{split}.tsv.gz", ["query_id\tdoc_id\tgrade", *("\t".join(map(str, line)) for line in judged)])
    return folder
