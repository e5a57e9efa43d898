"""The model card of an artefact, from the run's own records."""

from collections.abc import Mapping, Sequence
from typing import Any

from flipkd.distill.compare import Comparison
from flipkd.distill.selfcheck import Check
from flipkd.distill.settle import Settled
from flipkd.evaluation.calibration import in_words
from flipkd.evaluation.table import markdown_table
from flipkd.matching.artefact import ArtefactSpec


def model_card(
    spec: ArtefactSpec,
    comparison: Comparison,
    threshold_report: Mapping[str, Any],
    cascade: str,
    seconds: Mapping[str, float],
    checks: Sequence[Check],
    settled: Settled,
) -> str:
    """Markdown with the numbers, where they come from, and how to use the artefact.

    Args:
        spec: What the artefact says of itself.
        comparison: The rows.
        threshold_report: What the dual thresholds keep and drop.
        cascade: How the band of the cascade came about, or why there is none.
        seconds: Wall time by piece of work.
        checks: The self-check's lines.
        settled: What the decisions achieve, and how calibrated the answer is.
    """
    answer = spec.answer
    data = "\n".join(
        f"| {name} | {facts['source']} | {facts['pairs']} | `{facts['digest'][:12]}` |"
        for name, facts in spec.data.items()
    )
    times = "\n".join(f"| {name.replace('_', ' ')} | {value / 60:.1f} |" for name, value in seconds.items())
    calibration = "; ".join(f"on {split} {in_words(**sides)}" for split, sides in settled.calibration.items())
    measured = ""
    if settled.measured is not None:
        measured = f" On {comparison.measured}: {settled.measured.words(bands=settled.decision.bands)}."
    passed = "\n".join(f"- {check.name}: {check.found}" for check in checks)
    return f"""---
library_name: peft
tags: [text-matching, flipkd, lora]
---
# Text matcher

Do two texts mean the same? A LoRA adapter for `{spec.base_model}`, trained by flipped knowledge distillation
(arXiv 2507.05617, in flipkd's reading) from the small encoder `{spec.teacher.name}`.

## Use

```python
from flipkd import Matcher

matcher = Matcher.from_pretrained("path/to/this/folder")
matcher.match("first text", "second text")  # probability, similarity, logit, match
matcher.encode(["a text"])                  # vectors for retrieval
```

PEFT loads the adapter as it is; the prompt's ids, the label words and the threshold are in `flipkd.json`.

## Numbers

On {comparison.measured}, one run with seed {spec.seed}; every threshold was fitted on validation and frozen.
All figures: `evaluation/metrics.json`, row by row `evaluation/predictions.parquet`.

{markdown_table(comparison.rows)}

The answer uses {" + ".join(answer["sources"])}, with the threshold {answer["threshold"]:.4f} on the probability.
Reason: {answer["reason"]}. Both orders are {"averaged" if spec.symmetric else "not averaged"}.

Threshold policy: {settled.decision.reason}.{measured}

Calibration, the decoder's own probability -> the answer's: {calibration}.

Cascade, where the encoder alone may answer: {"none" if spec.cascade is None else "`--cascade` uses it"}; {cascade}.

Dual thresholds of the teacher: tau_p {spec.thresholds["tau_p"]:.4f}, tau_n {spec.thresholds["tau_n"]:.4f}
({spec.thresholds["reason"]}). On validation they keep {threshold_report["kept"]} of {threshold_report["n"]} pairs.

## Data

| split | source | pairs | digest |
|---|---|---|---|
{data}

## Time

| | minutes |
|---|---|
{times}

## Self-check

{passed}

Sites of the vectors: {", ".join(spec.sites)}, pooling {spec.pooling}.
Versions: {", ".join(f"{library} {number}" for library, number in spec.versions.items())}.
"""
