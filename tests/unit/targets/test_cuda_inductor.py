import sys

import numpy as np
import pytest
import torch

from inferlab.models.base import Model
from inferlab.records import Accelerator
from inferlab.targets.cuda_inductor import CudaInductor
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.tiny import expected

# Inductor imports, and torch.export copies and reads with, what torch itself deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def compile_and_package(exported_program: torch.export.ExportedProgram, *, package_path: str) -> str:
    """In place of a minute of C++: the program itself, which also refuses other shapes than it was exported with."""
    assert package_path.endswith(".pt2")
    torch.export.save(exported_program, package_path)
    return package_path


def load_package(path: str) -> torch.nn.Module:
    return torch.export.load(path).module()


@pytest.fixture
def gpu(nvidia_driver: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A driver that lists a GPU, and a CUDA build of torch whose device is the CPU; gives the synchronizations."""
    calls: list[str] = []
    monkeypatch.setattr("inferlab.targets.cuda_inductor.installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(CudaInductor, "device", "cpu")
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", compile_and_package)
    monkeypatch.setattr("torch._inductor.aoti_load_package", load_package)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty_cache"))
    return calls


def test_without_a_driver_it_is_unavailable(nvidia_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    here = CudaInductor().probe()
    assert (here.available, here.reason) == (False, "no NVIDIA driver: libnvidia-ml.so.1 not found")
    assert "NVIDIA GPU" in here.hint
    assert CudaInductor().accelerators() == ()


def test_a_driver_without_gpus_is_unavailable(nvidia_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.setattr(pynvml, "COUNT", 0)
    assert CudaInductor().probe().reason == "the NVIDIA driver finds no GPU"


def test_a_gpu_without_a_cuda_build_of_torch_is_unavailable(
    nvidia_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.cuda_inductor.installed_version", lambda name: "2.13.0+cpu")
    here = CudaInductor().probe()
    assert here.reason == "there is a GPU, but torch 2.13.0+cpu is a build without CUDA"


def test_the_gpu_is_described(nvidia_driver: None) -> None:
    described = Accelerator(kind="cuda", name="Fake L4", cores=7424, memory_mib=24576)
    assert CudaInductor().accelerators() == (described,)
    assert sys.modules["pynvml"]._open == 0


def test_compiled_loaded_and_run(gpu: list[str], tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cuda-inductor", batch_sizes=(1, 4))
    assert (record.outcome, record.provenance) == ("measured", "fake")
    assert set(record.files) == {"batch-1.pt2", "batch-4.pt2"}
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.operators_on_accelerator_share) == (2, 1.0)
    session = SessionFactory(folder, tiny, cores=(0,))()
    for batch in (1, 3):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-5)
    assert gpu == ["synchronize", "synchronize"]
    with pytest.raises(ValueError, match="allowed: 1 to 4"):
        session.run(tiny.preprocess(tiny.example_samples(5, seed=3)))
    session.close()
    assert gpu[-1] == "empty_cache"


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "weight-only"])
def test_int8_is_unsupported(gpu: list[str], compile_tiny: Compile, precision: str) -> None:
    _, record = compile_tiny("cuda-inductor", precision)
    assert record.outcome == "unsupported"
    assert "CUDA" in record.reason
