"""Card and report as text: a pure function of an artefact's files.

Everything that comes from a file is escaped: by Jinja2 in HTML, and by `in_markdown` in Markdown.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flipkd.matching.artefact import SPEC_FILE
from flipkd.report import contents
from flipkd.report.mistakes import mistakes
from flipkd.report.pictures import EVALUATION, LOSS, PRECISION_RECALL, RELIABILITY, drawn
from flipkd.report.records import Records
from flipkd.shown import in_markdown

CARD_FILE = "README.md"
REPORT_FILE = "report.html"
SECTIONS = {
    "answer": "How it answers",
    "numbers": "The numbers",
    "calibration": "Calibration",
    "pictures": "Pictures",
    "training": "Training",
    "mistakes": "Mistakes",
    "data": "Data",
    "settings": "Settings",
    "run": "Time and versions",
    "check": "Self-check",
    "use": "Use",
    "limits": "Limits",
}
"""Of the report, by the name its links go to."""


def html_report(folder: Path) -> str:
    """The whole report as one HTML page, pictures inside, that asks no host for anything.

    Args:
        folder: The artefact.

    Raises:
        FlipkdError: If the folder is no artefact, or a file in it is damaged.
    """
    records = Records(folder)
    of_report = {
        "sections": SECTIONS,
        "calibration_pictures": drawn(records, (RELIABILITY,)),
        "pictures": drawn(records, EVALUATION),
        "training_pictures": drawn(records, (LOSS,)),
        "answer": contents.answer(records),
        "measurement": contents.measurement(records),
        "log": contents.log(records),
        "trusted": contents.trusted(records),
        "settings": contents.settings(records),
        "run": contents.run(records),
        "mistakes": mistakes(records),
    }
    return _filled("report.html", _shared(records) | of_report)


def model_card(folder: Path) -> str:
    """The model card, in Markdown with the front matter that model hubs read.

    Args:
        folder: The artefact.

    Raises:
        FlipkdError: As `html_report`.
    """
    records = Records(folder)
    of_card = {
        "front": Markup(front_matter(records)),
        "essentials": contents.essentials(records),
        "pictures": [picture for picture, uri in drawn(records, (PRECISION_RECALL, RELIABILITY)) if uri],
    }
    return _filled("card.md", _shared(records) | of_card, finalize=_markdown)


def front_matter(records: Records) -> str:
    """The lines of YAML on top of a model card.

    The base model is named only where it is a hub's: elsewhere the name would lead to another model, or nowhere.

    Args:
        records: The artefact.
    """
    fields: dict[str, Any] = {"library_name": "peft", "pipeline_tag": "text-classification"}
    if records.value(contents.RUN_FILE, "student_from") == "hub":
        fields |= {"base_model": records.value(SPEC_FILE, "base_model"), "base_model_relation": "adapter"}
    fields |= {"tags": ["text-matching", "flipkd", "lora"], "metrics": ["f1", "accuracy"]}
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _shared(records: Records) -> dict[str, Any]:
    """What both show."""
    return {
        "methods": contents.methods(records),
        "flatters": contents.flatters(records),
        "standings": contents.standings(records),
        "differences": contents.differences(records),
        "calibration": contents.calibration(records),
        "data": contents.data(records),
        "self_check": contents.self_check(records),
        "limits": contents.limits(records),
    }


def _filled(template: str, values: dict[str, Any], **options: Any) -> str:
    environment = Environment(
        loader=PackageLoader("flipkd.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters["code"] = _code
    text = environment.get_template(template).render(values)
    # JSON can hold half of a surrogate pair, which no file can.
    return text.encode("utf-8", "replace").decode("utf-8")


def _markdown(value: Any) -> Any:
    return value if isinstance(value, Markup) else Markup(in_markdown(str(value)))


def _code(text: str) -> Markup:
    """A code span of Markdown for a cell of a table: its fence is longer than any in the text."""
    plain = " ".join(text.split()).replace("|", r"\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    space = " " if "`" in plain else ""
    return Markup(f"{fence}{space}{plain}{space}{fence}")
