"""Served toy artefacts: two over one base, with answers of their own."""

import json
import shutil

import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from flipkd.evaluation.answer import Answer
from flipkd.serving.app import make_app
from flipkd.serving.config import ServeConfig
from flipkd.serving.models import load_served
from flipkd.teacher.loading import fingerprint


def edited(artefact, folder, *sources, scale=1.0, teacher=None):
    """A copy of an artefact with an answer by some sources, and perhaps another adapter or the teacher beside it."""
    shutil.copytree(artefact, folder)
    fields = json.loads((folder / "flipkd.json").read_text())
    weights = {"decoder": 0.5, "encoder": 4.0, "teacher": 1.0}
    answer = Answer(sources, tuple(weights[source] for source in sources), -2.0, 0.5, "by hand")
    fields |= {"answer": answer.as_dict(), "symmetric": False, "cascade": None}
    if teacher is not None:
        shutil.copytree(teacher, folder / "teacher")
        fields["teacher"] |= {"kept": True, "revision": fingerprint(folder / "teacher")}
    (folder / "flipkd.json").write_text(json.dumps(fields))
    if scale != 1.0:
        tensors = load_file(folder / "adapter_model.safetensors")
        save_file({name: tensor * scale for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    return str(folder)


@pytest.fixture(scope="session")
def folders(artefact, tmp_path_factory):
    where = tmp_path_factory.mktemp("served")
    return {
        "cards": edited(artefact, where / "cards", "decoder", "encoder"),
        "loans": edited(artefact, where / "loans", "decoder", "encoder", scale=3.0),
    }


@pytest.fixture(scope="session")
def served(folders):
    """Both artefacts, loaded over one base."""
    return load_served(ServeConfig(model=folders["cards"], models={"loans": folders["loans"]}, device="cpu"))


@pytest.fixture(scope="session")
def make_client(served):
    """Makes a client of an application of its own; use it as a context, which runs the batches."""

    def make(served=served, **options):
        config = ServeConfig(model="unused", **({"max_wait_ms": 0} | options))
        return TestClient(make_app(served, config), base_url="http://127.0.0.1", raise_server_exceptions=False)

    return make


@pytest.fixture(scope="session")
def client(make_client):
    with make_client() as client:
        yield client
