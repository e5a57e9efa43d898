"""Every test that docs/trials.md names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_that_the_table_names_exist():
    words = re.findall(
        r"`(?:([\w/]+\.py)(?:::)?)?(test_\w+)?`", (ROOT / "docs" / "trials.md").read_text(encoding="utf-8")
    )
    file, missing, named = None, [], 0
    for path, test in words:
        if path:
            file = ROOT / ("" if "/" in path else "tests/trials") / path
        if test:
            named += 1
            missing += [] if f"def {test}(" in file.read_text(encoding="utf-8") else [test]
    assert missing == []
    assert named > 40
