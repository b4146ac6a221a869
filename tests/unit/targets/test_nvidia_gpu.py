import sys
from types import SimpleNamespace
from typing import Any

import pytest

from inferlab.records import Accelerator
from inferlab.targets import nvidia_gpu
from inferlab.targets.base import TARGETS
from inferlab.targets.nvidia_gpu import (
    compute_capability,
    count_devices,
    gpu_for_torch,
    gpus,
    no_bf16,
    on_gpus,
    written,
)

CUDA_TARGETS = [name for name in TARGETS.names() if name.startswith("cuda-")]


@pytest.fixture
def cuda_build(nvidia_driver: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A driver with a GPU, and a CUDA build of torch by its version."""
    monkeypatch.setattr(nvidia_gpu, "installed_version", lambda name: "2.13.0+cu130")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return nvidia_driver


def here(**packages: tuple[str, str]) -> tuple[bool, str, str]:
    found = gpu_for_torch("Inductor", (7, 0), packages)
    return found.available, found.reason, found.hint


def test_a_gpu_and_a_cuda_build_are_available(cuda_build: Any) -> None:
    assert here(json=("JSON", "pip install json")) == (True, "", "")


def test_without_a_driver(nvidia_driver: Any) -> None:
    nvidia_driver.INIT_ERROR = nvidia_driver.NVML_ERROR_LIBRARY_NOT_FOUND
    available, reason, hint = here()
    assert (available, reason) == (False, "no NVIDIA driver: libnvidia-ml.so.1 not found")
    assert "NVIDIA GPU" in hint
    assert (count_devices(), gpus(), compute_capability()) == ((0, reason), (), None)


def test_a_driver_that_is_not_loaded(nvidia_driver: Any) -> None:
    nvidia_driver.INIT_ERROR = nvidia_driver.NVML_ERROR_DRIVER_NOT_LOADED
    _, reason, hint = here()
    assert reason == "the NVIDIA driver is installed, but its kernel module is not loaded"
    assert "nvidia-smi" in hint


def test_a_driver_that_fails_is_quoted(nvidia_driver: Any) -> None:
    nvidia_driver.INIT_ERROR = nvidia_driver.NVML_ERROR_GPU_IS_LOST
    assert here()[1] == "the NVIDIA driver does not answer: GPU is lost"


def test_a_driver_without_gpus(nvidia_driver: Any) -> None:
    nvidia_driver.COUNT = 0
    assert here()[1] == "the NVIDIA driver finds no GPU"
    assert compute_capability() is None


@pytest.mark.parametrize("nothing", ["", "-1"])
def test_a_gpu_that_the_environment_hides(cuda_build: Any, monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
    reason = f"there is a GPU, but CUDA_VISIBLE_DEVICES is '{nothing}' and hides it from CUDA"
    assert here() == (False, reason, "unset CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert here()[0]


def test_a_gpu_that_is_too_old(nvidia_driver: Any) -> None:
    nvidia_driver.CAPABILITY = (6, 1)
    assert here()[1] == "Fake L4 has compute capability 6.1, Inductor needs 7.0"


def test_a_gpu_that_prohibits_computing(nvidia_driver: Any) -> None:
    nvidia_driver.COMPUTE_MODE = nvidia_driver.NVML_COMPUTEMODE_PROHIBITED
    _, reason, hint = here()
    assert reason == "Fake L4 is in a compute mode that prohibits computing"
    assert "--compute-mode=DEFAULT" in hint


@pytest.mark.parametrize("build", ["2.13.0+cpu", "2.13.0+rocm7.0", "2.13.0+xpu"])
def test_a_build_of_torch_without_cuda(nvidia_driver: Any, monkeypatch: pytest.MonkeyPatch, build: str) -> None:
    monkeypatch.setattr(nvidia_gpu, "installed_version", lambda name: build)
    _, reason, hint = here()
    assert reason == f"there is a GPU, but torch {build} is a build without CUDA"
    assert "CUDA build" in hint


@pytest.mark.parametrize("build", ["2.13.0", "2.13.0+cu130", "2.13.0a0+git1234"])
def test_pypis_build_and_ones_own_may_have_cuda(
    nvidia_driver: Any, monkeypatch: pytest.MonkeyPatch, build: str
) -> None:
    monkeypatch.setattr(nvidia_gpu, "installed_version", lambda name: build)
    assert here()[0]


def test_a_missing_package_is_named(cuda_build: Any) -> None:
    found = here(no_such_module=("TensorRT", "pip install tensorrt"))
    assert found == (False, "there is a GPU, but TensorRT is not installed", "pip install tensorrt")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("torch", "PyTorch is not installed"),
        ("pynvml", "nvidia-ml-py is not installed, so that GPUs cannot be looked for"),
    ],
)
def test_missing_packages_of_every_target(monkeypatch: pytest.MonkeyPatch, module: str, reason: str) -> None:
    monkeypatch.setattr(nvidia_gpu, "find_spec", lambda name: None if name == module else SimpleNamespace())
    assert here()[:2] == (False, reason)


@pytest.mark.parametrize("name", CUDA_TARGETS)
def test_every_target_on_gpus_says_why_it_is_not_here(name: str, nvidia_driver: Any) -> None:
    nvidia_driver.COUNT = 0
    found = TARGETS.get(name)().probe()
    assert (found.available, found.reason) == (False, "the NVIDIA driver finds no GPU")
    assert "docs/cuda.md" in found.hint


def test_the_gpu_is_described_and_nvml_is_left(nvidia_driver: Any) -> None:
    assert gpus() == (Accelerator(kind="cuda", name="Fake L4", cores=7424, memory_mib=24576),)
    assert (compute_capability(), count_devices()) == ((8, 9), (1, ""))
    assert sys.modules["pynvml"]._open == 0


def test_a_placement_counts_gpus_as_nvml_does() -> None:
    expected = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0,2"}
    assert on_gpus((0, 2)).environment == expected


def test_bf16_is_refused_where_it_would_be_emulated() -> None:
    assert no_bf16(None) is no_bf16((8, 0)) is None
    assert "the GPU has 7.5 and would emulate it" in (no_bf16((7, 5)) or "")
    assert written((8, 9)) == "8.9"
