"""NVIDIA GPUs as their driver lists them: what they are, and why a target cannot use one. Imports no torch.

By NVML (nvidia-ml-py; NVML API reference, Device Queries). A target runs on the GPU with the lowest number in the order
of the PCI bus, which is NVML's order, unless `placement` gives it another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from inferlab.records import Accelerator
from inferlab.targets.base import Availability, Placement, everywhere, installed_version

GPU_HINT = "run on a machine with an NVIDIA GPU and its driver, such as an EC2 g6 instance: docs/cuda.md"
DRIVER_HINT = "install NVIDIA's driver, and check it with nvidia-smi: docs/cuda.md"
TORCH_HINT = "install torch's CUDA build into .venv: docs/cuda.md"
NOT_CUDA = ("cpu", "rocm", "xpu")
"""How the local version of a build of torch for something else begins."""

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
NOTHING_VISIBLE = ("", "-1")
"""What hides all GPUs from CUDA; NVML lists them all the same."""

Capability = tuple[int, int]
"""NVIDIA's compute capability, major and minor: 8.9 is (8, 9)."""

AMPERE: Capability = (8, 0)
"""The first with bf16, TF32 and 2:4 sparse products in its tensor cores (CUDA C++ Programming Guide, features)."""


class NvmlError(Exception):
    """NVML cannot be asked; `hint` says what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


@contextmanager
def nvml() -> Iterator[Any]:
    """NVML's binding between its initialization and its shutdown. Raises NvmlError with the reason."""
    if find_spec("pynvml") is None:
        raise NvmlError("nvidia-ml-py is not installed, so that GPUs cannot be looked for", "run make setup")
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise _absent(pynvml, error) from None
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def count_devices() -> tuple[int, str]:
    """How many GPUs the driver finds, or 0 and why it cannot be asked."""
    try:
        with nvml() as binding:
            return int(binding.nvmlDeviceGetCount()), ""
    except NvmlError as absent:
        return 0, str(absent)


def gpus() -> tuple[Accelerator, ...]:
    """The GPUs that the driver finds."""
    try:
        with nvml() as binding:
            return tuple(_described(binding, index) for index in range(binding.nvmlDeviceGetCount()))
    except NvmlError:
        return ()


def compute_capability() -> Capability | None:
    """That of the first GPU, None where there is none."""
    try:
        with nvml() as binding:
            if binding.nvmlDeviceGetCount() == 0:
                return None
            return _capability(binding, binding.nvmlDeviceGetHandleByIndex(0))
    except NvmlError:
        return None


def gpu_for_torch(engine: str, at_least: Capability, packages: Mapping[str, tuple[str, str]]) -> Availability:
    """Whether there is a GPU that torch, and `engine` on it, can use.

    `packages` are modules that the engine needs beside torch: how they are called, and how to get them.
    """
    if find_spec("torch") is None:
        return Availability(available=False, reason="PyTorch is not installed", hint="run make setup")
    try:
        with nvml() as binding:
            lacking = _lacking(binding, engine, at_least)
    except NvmlError as absent:
        return Availability(available=False, reason=str(absent), hint=absent.hint)
    if lacking is not None:
        return lacking
    if (hidden := os.environ.get(VISIBLE_VARIABLE)) in NOTHING_VISIBLE:
        reason = f"there is a GPU, but {VISIBLE_VARIABLE} is {hidden!r} and hides it from CUDA"
        return Availability(available=False, reason=reason, hint=f"unset {VISIBLE_VARIABLE}")
    torch_version = installed_version("torch")
    if torch_version.partition("+")[2].startswith(NOT_CUDA):
        reason = f"there is a GPU, but torch {torch_version} is a build without CUDA"
        return Availability(available=False, reason=reason, hint=TORCH_HINT)
    for module, (called, hint) in packages.items():
        if find_spec(module) is None:
            reason = f"there is a GPU, but {called} is not installed"
            return Availability(available=False, reason=reason, hint=hint)
    return Availability(available=True)


def on_gpus(cores: tuple[int, ...]) -> Placement:
    """A process that sees these GPUs alone. CUDA orders GPUs by speed unless it is told to do it as NVML does."""
    numbers = ",".join(map(str, cores))
    return everywhere({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE_VARIABLE: numbers})


def written(capability: Capability) -> str:
    """(8, 9) -> 8.9."""
    return ".".join(map(str, capability))


def no_bf16(capability: Capability | None) -> str | None:
    """Why bf16 is refused on a GPU, or None."""
    if capability is None or capability >= AMPERE:
        return None
    return (
        f"bf16 needs compute capability {written(AMPERE)}, the GPU has {written(capability)} and would emulate it; "
        "fp16 is its 16-bit format"
    )


def _lacking(binding: Any, engine: str, at_least: Capability) -> Availability | None:
    if binding.nvmlDeviceGetCount() == 0:
        return Availability(available=False, reason="the NVIDIA driver finds no GPU", hint=GPU_HINT)
    handle = binding.nvmlDeviceGetHandleByIndex(0)
    name = binding.nvmlDeviceGetName(handle)
    capability = _capability(binding, handle)
    if capability < at_least:
        reason = f"{name} has compute capability {written(capability)}, {engine} needs {written(at_least)}"
        return Availability(available=False, reason=reason, hint=GPU_HINT)
    try:
        mode = binding.nvmlDeviceGetComputeMode(handle)
    except binding.NVMLError:  # a GPU without modes prohibits nothing
        return None
    if mode == binding.NVML_COMPUTEMODE_PROHIBITED:
        reason = f"{name} is in a compute mode that prohibits computing"
        return Availability(available=False, reason=reason, hint="sudo nvidia-smi --compute-mode=DEFAULT")
    return None


def _absent(binding: Any, error: Exception) -> NvmlError:
    value = getattr(error, "value", None)
    if value == binding.NVML_ERROR_LIBRARY_NOT_FOUND:
        return NvmlError("no NVIDIA driver: libnvidia-ml.so.1 not found", GPU_HINT)
    if value == binding.NVML_ERROR_DRIVER_NOT_LOADED:
        return NvmlError("the NVIDIA driver is installed, but its kernel module is not loaded", DRIVER_HINT)
    return NvmlError(f"the NVIDIA driver does not answer: {error}", DRIVER_HINT)


def _capability(binding: Any, handle: Any) -> Capability:
    major, minor = binding.nvmlDeviceGetCudaComputeCapability(handle)
    return int(major), int(minor)


def _described(binding: Any, index: int) -> Accelerator:
    handle = binding.nvmlDeviceGetHandleByIndex(index)
    return Accelerator(
        kind="cuda",
        name=str(binding.nvmlDeviceGetName(handle)),
        cores=int(binding.nvmlDeviceGetNumGpuCores(handle)),
        memory_mib=int(binding.nvmlDeviceGetMemoryInfo(handle).total) // 2**20,
    )
