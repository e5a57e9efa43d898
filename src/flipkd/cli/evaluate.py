"""`flipkd evaluate`: what a finished run achieves on labelled pairs."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flipkd.errors import FlipkdError


@dataclass
class Options:
    """Measure a finished run on labelled pairs: decisions, bands and calibration. Nothing is fitted on them."""

    model: str = ""
    """The artefact: the --output of a finished run."""
    test: str = ""
    """The labelled pairs."""
    output: str | None = None
    """A JSON file for the figures; by default they go to standard output."""
    policy: str | None = None
    """Another threshold policy than the artefact's, kept on its validation pairs: f1, accuracy, precision=P, recall=R,
    cost=A:B (a false match costs A, a missed one B) or bands=P:Q (accept at precision P, reject at precision Q, review
    in between)."""
    prior: float | None = None
    """The share of matches among pairs like these, where it is another than in validation: probabilities and
    thresholds are re-weighted to it."""
    cascade: bool = False
    """Let the encoder alone answer where it is sure, as in flipkd match."""
    int8: bool = False
    """Round the student's weights to int8, on a CPU."""
    columns: dict[str, str] | None = None
    """Column names where they are not found by themselves: text_a, text_b, label."""
    encoding: str | None = None
    """The file's encoding, where it is not found by itself."""
    delimiter: str | None = None
    """What parts the cells of the file, where it is no comma (.csv) or tab (.tsv): one character."""
    empty: Literal["fail", "drop"] = "fail"
    """What to do with pairs that have an empty text."""
    batch_tokens: int = 1024
    """Tokens of a batch."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""


def run(options: Options) -> None:
    """Answer, measure, print the table to standard error and the figures as JSON."""
    from flipkd.console import announce, console
    from flipkd.data.reader import read_pairs
    from flipkd.data.splits import warn_of_dependence
    from flipkd.evaluation.calibration import in_words
    from flipkd.evaluation.table import comparison_table
    from flipkd.files import require_apart, require_no_folder, write_whole
    from flipkd.matching.matcher import Matcher
    from flipkd.matching.measured import measure_artefact

    for name in ("model", "test"):
        if not getattr(options, name):
            raise FlipkdError(f"--{name} is missing.")
    require_no_folder(options.output)
    require_apart(options.output, options.test)
    pairs = read_pairs(
        options.test,
        columns=options.columns,
        encoding=options.encoding,
        delimiter=options.delimiter,
        empty=options.empty,
    )
    pairs.require_labels()
    matcher = Matcher.from_pretrained(
        options.model,
        device=options.device,
        cache_dir=options.cache_dir,
        int8=options.int8,
        policy=options.policy,
        prior=options.prior,
    )
    found = measure_artefact(matcher, pairs, cascade=options.cascade, batch_tokens=options.batch_tokens)
    console.print(comparison_table({"answer": found.metrics}))
    bands = matcher.bands is not None
    announce("decisions", found.decisions.words(bands=bands), f"{found.policy}, the thresholds of validation")
    warn_of_dependence(pairs)
    side = "the decoder's own probability -> the answer's" if found.before else "the answer's probability"
    announce("calibration", in_words(found.before, found.after), side)
    figures = {"model": options.model, "test": {"source": pairs.source, "digest": pairs.digest()}, **found.as_dict()}
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        write_whole(Path(options.output), text)
        announce("written", options.output, f"{len(pairs)} pairs")
