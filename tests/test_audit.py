"""The check for vulnerable packages never calls clean what it did not check."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SPEC = spec_from_file_location("audit", Path(__file__).parents[1] / ".ci" / "audit.py")
audit = module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
VULNERABLE = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("packages", "status", "expected"),
    [
        ([CLEAN], 0, "audit: 1 packages have no known vulnerability"),
        ([CLEAN, SKIPPED], 0, "audit: 1 packages have no known vulnerability; NOT CHECKED: b"),
        ([SKIPPED], 0, "audit: NOT CHECKED: no advisories for any of 1 packages (https://pypi.org not reached)"),
        ([SKIPPED, VULNERABLE], 1, "audit: vulnerable packages:\nc 1: CVE-1, mended in 2"),
    ],
)
def test_the_verdict_says_what_was_checked(packages, status, expected):
    assert audit.verdict(packages) == (status, expected)


def test_no_report_is_not_a_clean_one(monkeypatch, capsys):
    class Failed:
        stdout, stderr = "", "first\nconnection refused\n"

    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: Failed)
    assert audit.main() == 0
    assert capsys.readouterr().out == "audit: NOT CHECKED: pip-audit gave no report: connection refused\n"
