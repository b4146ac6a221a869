from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inferlab.models.base import Model
from inferlab.targets.cuda_inductor import CudaInductor
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.fake_cuda import FakeCuda
from targets.tiny import expected

# torch.export copies and reads with what torch itself deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2, "fp16": 3e-3}


@pytest.fixture
def gpu(nvidia_driver: Any, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A driver that lists a GPU, and a CUDA build of torch whose device is the CPU and whose compiler does nothing."""
    programs: dict[str, torch.nn.Module] = {}

    def compile_and_package(exported_program: torch.export.ExportedProgram, *, package_path: str) -> str:
        """In place of a minute of C++: the program itself, which also refuses other shapes than its example's."""
        assert package_path.endswith(".pt2")
        Path(package_path).write_text("program")
        programs[Path(package_path).name] = exported_program.module()
        return package_path

    def load_package(path: str, *, run_single_threaded: bool = False) -> Callable[..., Any]:
        assert run_single_threaded, "a graph cannot be recorded with AOTInductor's waiting for the stream"
        return programs[Path(path).name]

    monkeypatch.setattr("inferlab.targets.nvidia_gpu.installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(CudaInductor, "device", "cpu")
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", compile_and_package)
    monkeypatch.setattr("torch._inductor.aoti_load_package", load_package)
    return cuda


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_compiled_loaded_and_run(gpu: FakeCuda, tiny: Model, compile_tiny: Compile, precision: str) -> None:
    folder, record = compile_tiny("cuda-inductor", precision, batch_sizes=(1, 4))
    assert (record.outcome, record.provenance, record.reason) == ("measured", "fake", "")
    assert set(record.files) == {"batch-1.pt2", "batch-4.pt2"}
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.operators_on_accelerator_share) == (2, 1.0)
    assert record.engagement.low_precision_operator_share == (0 if precision == "fp32" else 1)
    assert record.engagement.note == ""
    gpu.calls.clear()
    torch.backends.cudnn.allow_tf32 = True  # as in a process that has compiled nothing
    session = SessionFactory(folder, tiny, cores=(0,))()
    assert not torch.backends.cudnn.allow_tf32
    assert gpu.calls.count("graph") == 2
    for batch in (1, 3):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=TOLERANCE[precision])
        assert gpu.calls[-2:] == ["replay", "stream.synchronize"]
    session.close()
    assert gpu.calls[-1] == "empty_cache"


def test_the_record_states_tf32_graphs_and_the_type_of_floats(gpu: FakeCuda, compile_tiny: Compile) -> None:
    _, record = compile_tiny("cuda-inductor")
    assert record.settings == {
        "tf32_matrix_products": "off",
        "tf32_convolutions": "off",
        "cuda_graphs": "each batch size",
        "floats": "fp32",
    }


def test_what_cannot_be_recorded_runs_without_graphs_and_is_noted(
    gpu: FakeCuda, tiny: Model, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.cuda.sessions.why_no_graphs", lambda *_: "it reads back")
    folder, record = compile_tiny("cuda-inductor")
    assert record.settings["cuda_graphs"] == "none: it reads back"
    assert record.engagement is not None
    assert "no CUDA graph" in record.engagement.note
    gpu.calls.clear()
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(2, seed=3))
    np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-5)
    assert "graph" not in gpu.calls
    assert gpu.calls[-1] == "stream.synchronize"


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic"])
def test_int8_without_a_layer_for_it_is_unsupported(gpu: FakeCuda, compile_tiny: Compile, precision: str) -> None:
    _, record = compile_tiny("cuda-inductor", precision)
    assert record.outcome == "unsupported"
    assert "tiny has no linear layer that PyTorch's int8 products on CUDA take" in record.reason


def test_weight_only_is_unsupported(gpu: FakeCuda, compile_tiny: Compile) -> None:
    assert compile_tiny("cuda-inductor", "weight-only")[1].outcome == "unsupported"


@pytest.mark.hardware
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu(tiny: Model, compile_tiny: Compile, precision: str) -> None:
    here = CudaInductor().probe()
    if not here.available:
        pytest.skip(here.reason)
    folder, record = compile_tiny("cuda-inductor", precision)
    assert (record.outcome, record.provenance) == ("measured", "hardware")
    assert record.settings["cuda_graphs"] == "each batch size"
    session = SessionFactory(folder, tiny, cores=(0,))()
    for batch in (1, 3):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=TOLERANCE[precision])
    session.close()
