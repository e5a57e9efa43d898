import json
import shutil

import pytest


@pytest.fixture
def copy(artefact, tmp_path):
    """A finished toy artefact that may be changed."""
    return shutil.copytree(artefact, tmp_path / "copy")


@pytest.fixture
def edit(copy):
    """Changes a JSON file of the copy by a function of its content."""

    def change(file, how):
        content = json.loads((copy / file).read_text())
        how(content)
        (copy / file).write_text(json.dumps(content))

    return change
