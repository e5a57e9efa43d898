"""Known vulnerabilities of the installed packages, by pip-audit; says what could not be checked.

pip-audit ends in success where it finds no advisories at all for a package, as behind an index that serves packages
alone. Here that is counted and said, and never called clean. A vulnerability is status 1.
"""

import json
import subprocess
import sys
from typing import Any

_ADVISORIES = "https://pypi.org"


def verdict(dependencies: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit status and what to say of pip-audit's report.

    Args:
        dependencies: Its list of packages.
    """
    unchecked = [package["name"] for package in dependencies if "skip_reason" in package]
    checked = len(dependencies) - len(unchecked)
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in dependencies
        for fault in package.get("vulns", [])
    ]
    if lines:
        return 1, "\n".join(["audit: vulnerable packages:", *lines])
    if not checked:
        return 0, f"audit: NOT CHECKED: no advisories for any of {len(unchecked)} packages ({_ADVISORIES} not reached)"
    if unchecked:
        return 0, f"audit: {checked} packages have no known vulnerability; NOT CHECKED: {', '.join(unchecked)}"
    return 0, f"audit: {checked} packages have no known vulnerability"


def main() -> int:
    """Run pip-audit over this environment."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    found = subprocess.run([*command, "--timeout", "5"], capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(found.stdout)["dependencies"]
    except ValueError:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.stdout.write(f"audit: NOT CHECKED: pip-audit gave no report: {reason}\n")
        return 0
    status, said = verdict(dependencies)
    sys.stdout.write(said + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
