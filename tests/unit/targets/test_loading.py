import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferlab.errors import ArtifactError
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord
from inferlab.targets import cpu_openvino
from inferlab.targets.loading import SessionFactory
from inferlab.targets.openvino_network import network_of_size
from targets.conftest import Compile
from targets.tiny import expected


@pytest.fixture
def artifact(compile_tiny: Compile) -> Path:
    return compile_tiny("cpu-eager")[0]


def rewrite(artifact: Path, **changes: object) -> None:
    record = ArtifactRecord.read(artifact / "artifact.json")
    record.model_copy(update=changes).write(artifact / "artifact.json")


def test_a_factory_survives_pickling(tiny: Model, artifact: Path) -> None:
    factory = pickle.loads(pickle.dumps(SessionFactory(artifact, tiny, cores=(0,))))  # noqa: S301
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    assert factory().run(inputs)["logits"].tolist() == expected(tiny, inputs).tolist()


def test_a_damaged_file_is_named(tiny: Model, artifact: Path) -> None:
    weights = artifact / "module.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"module\.safetensors is damaged"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_a_missing_file_is_named(tiny: Model, artifact: Path) -> None:
    (artifact / "structure.json").unlink()
    with pytest.raises(ArtifactError, match=r"structure\.json is missing"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_another_version_of_the_engine_is_refused(tiny: Model, artifact: Path) -> None:
    rewrite(artifact, versions={"torch": "1.0"})
    with pytest.raises(ArtifactError, match=r"was compiled with torch 1\.0, this is .*: run dvc repro"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_another_schema_is_refused(tiny: Model, artifact: Path) -> None:
    manifest = artifact / "artifact.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ArtifactError, match=r"artifact\.json has schema_version 2"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_an_artifact_that_was_not_built_is_refused(tiny: Model, artifact: Path) -> None:
    rewrite(artifact, outcome="unavailable", reason="not plugged in", files={})
    with pytest.raises(ArtifactError, match="holds no artifact: unavailable: not plugged in"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_the_artifact_of_another_model_is_refused(tiny: Model, artifact: Path) -> None:
    rewrite(artifact, model="giant")
    with pytest.raises(ArtifactError, match="holds 'giant', not 'tiny'"):
        SessionFactory(artifact, tiny, cores=(0,))()


def test_only_the_sizes_that_are_needed_are_loaded(tiny: Model, compile_tiny: Compile) -> None:
    artifact, _ = compile_tiny("cpu-openvino", batch_sizes=(1, 2, 4))
    session = SessionFactory(artifact, tiny, cores=(0,), largest_batch=2)()
    assert session.run(tiny.preprocess(tiny.example_samples(2, seed=3)))["logits"].shape == (2, 4)
    with pytest.raises(ValueError, match="a batch of 3 is not allowed; allowed: 1 to 2"):
        session.run(tiny.preprocess(tiny.example_samples(3, seed=3)))


def test_sizes_below_the_smallest_batch_are_not_loaded_and_such_batches_run_padded(
    tiny: Model, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, _ = compile_tiny("cpu-openvino", batch_sizes=(1, 2, 4))
    inputs = tiny.preprocess(tiny.example_samples(3, seed=3))
    of_all_sizes = SessionFactory(artifact, tiny, cores=(0,))().run(inputs)["logits"]
    loaded: list[int] = []

    def network(openvino: Any, path: Path, model: Model, size: int) -> Any:
        loaded.append(size)
        return network_of_size(openvino, path, model, size)

    monkeypatch.setattr(cpu_openvino, "network_of_size", network)
    session = SessionFactory(artifact, tiny, cores=(0,), smallest_batch=4)()
    assert loaded == [4]
    np.testing.assert_allclose(session.run(inputs)["logits"], of_all_sizes, rtol=1e-6)
