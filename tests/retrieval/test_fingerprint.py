"""What makes the vectors of two artefacts the same."""

import json
import shutil

from flipkd.matching.artefact import ArtefactSpec, vector_fingerprint


def test_the_adapter_and_the_sites_count_and_the_calibration_does_not(artefact, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(artefact, folder)
    spec = ArtefactSpec.read(folder)
    first = vector_fingerprint(folder, spec)
    fields = json.loads((folder / "flipkd.json").read_text())
    fields["answer"]["threshold"] = 0.123
    (folder / "flipkd.json").write_text(json.dumps(fields))
    assert vector_fingerprint(folder, ArtefactSpec.read(folder)) == first
    assert vector_fingerprint(folder, spec.model_copy(update={"sites": ("0.q_proj",)})) != first
    weights = folder / "adapter_model.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    assert vector_fingerprint(folder, spec) != first
