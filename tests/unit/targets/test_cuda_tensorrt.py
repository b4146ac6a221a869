from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from inferlab.errors import ArtifactError
from inferlab.files import digests_of_folder
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord
from inferlab.targets.cuda_tensorrt import CudaTensorRT
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.fake_cuda import FakeCuda
from targets.tiny import expected

# torch.export and onnxscript copy and read with what they deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
TOLERANCE = {"fp32": 1e-5, "fp16": 3e-3, "int8-static": 3e-2}


@pytest.fixture
def gpu(nvidia_driver: Any, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """A driver that lists a GPU, a TensorRT that computes on the CPU, and a torch whose device is the CPU."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is part of the extra tensorrt")
    import tensorrt

    monkeypatch.setattr("inferlab.targets.nvidia_gpu.installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(CudaTensorRT, "device", "cpu")
    monkeypatch.setattr(tensorrt, "STREAM", cuda.enqueue)
    yield cuda


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-static"])
def test_compiled_loaded_and_run(gpu: FakeCuda, tiny: Model, compile_tiny: Compile, precision: str) -> None:
    folder, record = compile_tiny("cuda-tensorrt", precision, batch_sizes=(1, 4))
    assert (record.reason, record.outcome, record.provenance) == ("", "measured", "fake")
    assert set(record.files) == {"batch-1.plan", "batch-4.plan"}
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.operators_on_accelerator_share) == (2, 1.0)
    assert record.engagement.low_precision_operators == (0 if precision == "fp32" else 2)
    assert record.engagement.note == ""
    assert record.settings["cuda_graphs"] == "each batch size"
    assert record.settings["tf32"] == "off"
    session = SessionFactory(folder, tiny, cores=(0,))()
    for batch in (1, 3):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=TOLERANCE[precision])
        assert gpu.calls[-2:] == ["replay", "stream.synchronize"]
    session.close()
    assert gpu.calls[-1] == "empty_cache"


def test_int8_leaves_fp16_over_and_counts_the_engines_layers(gpu: FakeCuda, compile_tiny: Compile) -> None:
    _, record = compile_tiny("cuda-tensorrt", "int8-static")
    assert record.settings["floats"] == "fp16"
    assert record.settings["engine_layers_with_int8_inputs"] == "2"
    assert int(record.settings["engine_layers"]) > 2


def test_int8_that_the_engine_does_not_compute_in_did_not_engage(
    gpu: FakeCuda, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.cuda.tensorrt_engine.Engine.layers", lambda self: (5, 0))
    engagement = compile_tiny("cuda-tensorrt", "int8-static")[1].engagement
    assert engagement is not None
    assert engagement.low_precision_operators == 0
    assert "no compute operator runs in low precision" in engagement.missed("int8-static")


def test_a_network_that_tensorrt_refuses_is_unsupported_in_its_words(
    gpu: FakeCuda, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tensorrt._refused", lambda model: "no importer for NonZero")
    _, record = compile_tiny("cuda-tensorrt")
    assert record.outcome == "unsupported"
    assert record.reason == "TensorRT does not take this network: no importer for NonZero"


def test_an_engine_that_is_not_built_is_unsupported_in_its_words(
    gpu: FakeCuda, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tensorrt._Profile.set_shape", lambda *_: None)
    _, record = compile_tiny("cuda-tensorrt")
    assert record.outcome == "unsupported"
    assert "no engine for batches of 1: Network has dynamic or shape inputs" in record.reason


def test_a_plan_that_tensorrt_refuses_is_named(gpu: FakeCuda, tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cuda-tensorrt")
    (folder / "batch-1.plan").write_bytes(b"of another version")
    manifest = folder / "artifact.json"
    with pytest.raises(ArtifactError, match=r"batch-1\.plan is damaged"):
        SessionFactory(folder, tiny, cores=(0,))()
    manifest.unlink()
    record.model_copy(update={"files": digests_of_folder(folder)}).write(manifest)
    with pytest.raises(ArtifactError, match=r"batch-1\.plan: TensorRT refuses it: Serialization assertion"):
        SessionFactory(folder, tiny, cores=(0,))()


def test_another_version_of_tensorrt_is_refused(gpu: FakeCuda, tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cuda-tensorrt")
    assert record.versions["tensorrt"] == "11.0.0+fake"
    manifest = folder / "artifact.json"
    ArtifactRecord.read(manifest).model_copy(update={"versions": {**record.versions, "tensorrt": "10.0"}}).write(
        manifest
    )
    with pytest.raises(ArtifactError, match=r"was compiled with tensorrt 10\.0, this is 11\.0\.0\+fake"):
        SessionFactory(folder, tiny, cores=(0,))()


@pytest.mark.parametrize("precision", ["int8-dynamic", "weight-only"])
def test_what_it_cannot_lower_to_is_unsupported(nvidia_driver: Any, precision: Any) -> None:
    assert "TensorRT's" in (CudaTensorRT().supports(precision) or "")


def test_a_missing_package_has_its_extra(nvidia_driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.nvidia_gpu.installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(
        "inferlab.targets.nvidia_gpu.find_spec", lambda name: None if name == "tensorrt" else SimpleNamespace()
    )
    here = CudaTensorRT().probe()
    assert (here.available, here.reason) == (False, "there is a GPU, but TensorRT is not installed")
    assert "inferlab[tensorrt]" in here.hint


@pytest.mark.hardware
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-static"])
def test_on_a_gpu(tiny: Model, compile_tiny: Compile, precision: str) -> None:
    here = CudaTensorRT().probe()
    if not here.available:
        pytest.skip(here.reason)
    folder, record = compile_tiny("cuda-tensorrt", precision)
    assert (record.reason, record.outcome, record.provenance) == ("", "measured", "hardware")
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(3, seed=3))
    np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=TOLERANCE[precision])
    session.close()
    assert torch.cuda.is_available()
