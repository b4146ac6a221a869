"""An NVIDIA GPU through AOTInductor: one package for each batch size, compiled from torch.export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.records import Accelerator, ArtifactRecord, Precision
from inferlab.targets.aot_packages import example_inputs, package_file
from inferlab.targets.base import TARGETS, Availability, Built, Placement, Target, everywhere, installed_version
from inferlab.targets.batching import compiled_size, padded
from inferlab.targets.operators import OperatorEvidence, compute_operators
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np
    import torch

    from inferlab.models.base import Model

GPU_HINT = "run on a machine with an NVIDIA GPU and its driver, such as an EC2 g6 instance, with torch's CUDA build"

REFUSED: dict[Precision, str] = {
    "fp16": "fp16 on CUDA is not built into this target",
    "int8-static": "PyTorch has no quantizer for static int8 on CUDA: PT2E's Inductor quantizer is for x86 CPUs",
    "int8-dynamic": "int8-dynamic on CUDA goes through torchao, which is not built into this target",
    "weight-only": "weight-only int8 on CUDA goes through torchao, which is not built into this target",
}


@TARGETS.register("cuda-inductor")
class CudaInductor(Target):
    """The artifact is one AOTInductor package for each batch size. fp32 means IEEE fp32, not TF32."""

    name: ClassVar[str] = "cuda-inductor"
    engine: ClassVar[dict[str, str]] = {"torch": "torch", "pynvml": "nvidia-ml-py"}
    device: ClassVar[str] = "cuda"

    def probe(self) -> Availability:
        if find_spec("torch") is None:
            return Availability(available=False, reason="PyTorch is not installed", hint="run make setup")
        count, problem = count_devices()
        if problem:
            return Availability(available=False, reason=problem, hint=GPU_HINT)
        if count == 0:
            return Availability(available=False, reason="the NVIDIA driver finds no GPU", hint=GPU_HINT)
        torch_version = installed_version("torch")
        if "+cpu" in torch_version:
            reason = f"there is a GPU, but torch {torch_version} is a build without CUDA"
            return Availability(available=False, reason=reason, hint="install torch's CUDA build into .venv")
        return Availability(available=True)

    def accelerators(self) -> tuple[Accelerator, ...]:
        count, _ = count_devices()
        return tuple(_describe(index) for index in range(count))

    def placement(self, cores: tuple[int, ...]) -> Placement:
        return everywhere({"CUDA_VISIBLE_DEVICES": ",".join(map(str, cores))})

    def supports(self, precision: Precision) -> str | None:
        return REFUSED.get(precision)

    def compile(
        self,
        model: Model,
        source: Source,
        precision: Precision,
        calibration: dict[str, np.ndarray] | None,
        batch_sizes: Sequence[int],
        out_dir: Path,
    ) -> Built:
        import torch
        from torch._inductor import aoti_compile_and_package

        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        module = source.module.to(self.device, dtype)
        operators: list[str] = []
        for size in batch_sizes:
            with torch.inference_mode():
                program = torch.export.export(module, example_inputs(model, size, dtype, self.device))
            aoti_compile_and_package(program, package_path=str(out_dir / package_file(size)))
            operators = compute_operators(program)
        low = len(operators) if precision == "bf16" else 0
        evidence = OperatorEvidence(
            operators=len(operators),
            low_precision_operators=low,
            low_precision_mac_share=float(precision == "bf16"),
            operators_on_accelerator_share=1.0,
        )
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions=self.versions())

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> PackageSession:
        import torch
        from torch._inductor import aoti_load_package

        torch.set_num_threads(len(cores))
        packages = {size: aoti_load_package(str(artifact_dir / package_file(size))) for size in record.batch_sizes}
        dtype = torch.bfloat16 if record.precision == "bf16" else torch.float32
        return PackageSession(model, packages, self.device, dtype)


class PackageSession:
    """Copies inputs to the device, runs the package of the next larger size, copies outputs back."""

    thread_safe = False

    def __init__(
        self, model: Model, packages: Mapping[int, Callable[..., Any]], device: str, dtype: torch.dtype
    ) -> None:
        self._packages = packages
        self._device = device
        self._dtype = dtype
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        batch = len(inputs[self._inputs[0]])
        size = compiled_size(list(self._packages), batch)
        with torch.inference_mode():
            outputs = self._packages[size](*(self._tensor(padded(inputs[name], size)) for name in self._inputs))
            torch.cuda.synchronize()
        tensors = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return {
            name: tensor[:batch].to("cpu", torch.float32).numpy()
            for name, tensor in zip(self._outputs, tensors, strict=True)
        }

    def close(self) -> None:
        import torch

        self._packages = {}
        torch.cuda.empty_cache()

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        import torch

        # Arrays over the bytes of a request are read-only, which torch has no notion of.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else tensor.dtype)


def count_devices() -> tuple[int, str]:
    """How many GPUs the driver finds, or 0 and why it cannot be asked. Imports NVML's binding, not torch."""
    if find_spec("pynvml") is None:
        return 0, "nvidia-ml-py is not installed, so that GPUs cannot be looked for"
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return 0, "no NVIDIA driver: libnvidia-ml.so.1 not found"
        return 0, f"the NVIDIA driver does not answer: {error}"
    try:
        return int(pynvml.nvmlDeviceGetCount()), ""
    finally:
        pynvml.nvmlShutdown()


def _describe(index: int) -> Accelerator:
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = pynvml.nvmlDeviceGetName(handle)
        memory_mib = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) // 2**20
        cores = int(pynvml.nvmlDeviceGetNumGpuCores(handle))
    finally:
        pynvml.nvmlShutdown()
    return Accelerator(kind="cuda", name=str(name), cores=cores, memory_mib=memory_mib)
