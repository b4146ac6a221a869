from typing import Any

import numpy as np
import pytest
import torch

from inferlab.models.base import Model
from inferlab.targets.cuda_eager import CudaEager
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.fake_cuda import FakeCuda
from targets.tiny import expected

TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2, "fp16": 3e-3}


@pytest.fixture
def gpu(nvidia_driver: Any, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    monkeypatch.setattr("inferlab.targets.nvidia_gpu.installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(CudaEager, "device", "cpu")
    return cuda


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_compiled_loaded_and_run(gpu: FakeCuda, tiny: Model, compile_tiny: Compile, precision: str) -> None:
    folder, record = compile_tiny("cuda-eager", precision)
    assert (record.outcome, record.provenance) == ("measured", "fake")
    assert record.engagement is not None
    assert record.engagement.operators_on_accelerator_share == 1.0
    assert record.engagement.low_precision_operator_share == (0 if precision == "fp32" else 1)
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(3, seed=3))
    logits = expected(tiny, inputs)
    inputs["picture"].flags.writeable = False  # as over the bytes of a request
    outputs = session.run(inputs)["logits"]
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, logits, atol=TOLERANCE[precision])
    assert gpu.calls == ["synchronize"]
    session.close()
    assert gpu.calls == ["synchronize", "empty_cache"]
    with pytest.raises(ValueError, match="the session is closed"):
        session.run(inputs)


def test_the_record_states_pytorchs_default_of_tf32(gpu: FakeCuda, compile_tiny: Compile) -> None:
    _, record = compile_tiny("cuda-eager")
    assert record.settings["tf32_matrix_products"] == "off"
    assert record.settings["tf32_convolutions"] == "allowed"
    assert record.engagement is not None
    assert "convolutions in fp32 round to TF32" in record.engagement.note


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "weight-only"])
def test_int8_is_unsupported(gpu: FakeCuda, compile_tiny: Compile, precision: str) -> None:
    assert compile_tiny("cuda-eager", precision)[1].outcome == "unsupported"


def test_bf16_is_unsupported_on_an_old_gpu(gpu: FakeCuda, nvidia_driver: Any, compile_tiny: Compile) -> None:
    nvidia_driver.CAPABILITY = (7, 5)
    assert "would emulate it" in compile_tiny("cuda-eager", "bf16")[1].reason
    assert compile_tiny("cuda-eager", "fp16")[1].outcome == "measured"


def test_a_gpu_that_this_torch_has_no_kernels_for_is_unsupported(
    gpu: FakeCuda, nvidia_driver: Any, compile_tiny: Compile
) -> None:
    nvidia_driver.CAPABILITY = (7, 0)
    _, record = compile_tiny("cuda-eager")
    assert record.outcome == "unsupported"
    assert f"compute capability 7.0, and torch {torch.__version__} was built for 7.5 and later" in record.reason


@pytest.mark.hardware
def test_on_a_gpu(tiny: Model, compile_tiny: Compile) -> None:
    here = CudaEager().probe()
    if not here.available:
        pytest.skip(here.reason)
    folder, record = compile_tiny("cuda-eager", "fp16")
    assert (record.outcome, record.provenance) == ("measured", "hardware")
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(3, seed=3))
    np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=TOLERANCE["fp16"])
    session.close()
