"""The CPU through AOTInductor: one package for each batch size, its weights packed for oneDNN's kernels."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.errors import Unsupported
from inferlab.machine import physical_cores, plan_cores
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.aot_packages import example_inputs, package_file
from inferlab.targets.base import TARGETS, Availability, Built, Target, installed_version
from inferlab.targets.batching import compiled_size, fill
from inferlab.targets.inductor_graph import operator_evidence
from inferlab.targets.inductor_int8 import quantized
from inferlab.targets.instructions import NO_FP16, flags_here, has_bf16
from inferlab.targets.operators import OperatorEvidence
from inferlab.targets.quiet import quiet
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from inferlab.models.base import Model

OPTIONS: dict[str, Any] = {
    # Weights become constants, which are packed for oneDNN once and not at each call.
    "freezing": True,
    # Otherwise the number of threads of the process that compiles is part of the code, whatever cores serve it.
    "cpp.dynamic_threads": True,
    # No pool of processes, which would outlive the compilation.
    "compile_threads": 1,
}
HALF_BYTES = 2
REFUSED: dict[Precision, str] = {
    "fp16": NO_FP16,
    "weight-only": "Inductor's weight-only kernels for CPUs are made for large language models and are not built in",
}


@TARGETS.register("cpu-inductor")
class CpuInductor(Target):
    """The artifact is one AOTInductor package for each batch size, compiled for the instructions of this CPU."""

    name: ClassVar[str] = "cpu-inductor"
    engine: ClassVar[dict[str, str]] = {"torch": "torch"}
    on_cpu: ClassVar[bool] = True

    def probe(self) -> Availability:
        if find_spec("torch") is None:
            return Availability(available=False, reason="PyTorch is not installed", hint="run make setup")
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            reason = f"Inductor needs a C++ compiler, and {compiler} is not on PATH"
            return Availability(available=False, reason=reason, hint="install one: apt install g++, or set CXX")
        return Availability(available=True)

    def supports(self, precision: Precision) -> str | None:
        if precision == "bf16" and not has_bf16(flags_here()):
            return "this CPU has no bf16 instructions, and Inductor would convert to fp32 and back at every operator"
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
        from torch._inductor.utils import fresh_cache

        dtype = torch.float32
        module = source.module
        versions = self.versions()
        if precision == "bf16":
            dtype = torch.bfloat16
            module = module.to(dtype)
        elif precision in ("int8-static", "int8-dynamic"):
            if precision == "int8-static" and calibration is None:
                raise Unsupported("int8-static needs calibration data; the recipe has no calibrate step")
            module = quantized(source.program, model, calibration)
            versions["torchao"] = installed_version("torchao")
        # Inductor names its files after the code, so that variants of a model that are built side by side would write
        # their weights into the same ones.
        with tempfile.TemporaryDirectory() as folder, fresh_cache(dir=folder), serving_threads():
            # Of the last: in a batch of one item Inductor writes products with a vector as sums of its own.
            found = [
                compile_package(module, example_inputs(model, size, dtype, "cpu"), out_dir / package_file(size))
                for size in batch_sizes
            ]
        return Built(batch_sizes=tuple(batch_sizes), operators=found[-1], versions=versions)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> InductorSession:
        import torch
        from torch._inductor import aoti_load_package

        torch.set_num_threads(len(cores))
        loaders = {
            size: aoti_load_package(str(artifact_dir / package_file(size))).loader for size in record.batch_sizes
        }
        return InductorSession(model, loaders, torch.bfloat16 if record.precision == "bf16" else torch.float32)


class InductorSession:
    """Runs the package of the next larger size on tensors of its own, into which inputs are copied.

    By way of the packages' loaders: the call that torch wraps around them reads a description of all inputs and
    outputs from JSON each time. A package's memory serves one call at a time. Packages take it on trust that tensors
    are of the type and layout that they were compiled for.
    """

    thread_safe = False

    def __init__(self, model: Model, loaders: Mapping[int, Any], dtype: torch.dtype) -> None:
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]
        self._packages = {
            size: _Package(loader, example_inputs(model, size, dtype, "cpu")) for size, loader in loaders.items()
        }

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(inputs[self._inputs[0]])
        package = self._packages.get(batch) or self._packages[compiled_size(list(self._packages), batch)]
        results = package.run([inputs[name] for name in self._inputs])
        return {name: result[:batch] for name, result in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        self._packages = {}


class _Package:
    """A compiled size with the tensors that it reads, and arrays over these to write to."""

    def __init__(self, loader: Any, tensors: Sequence[torch.Tensor]) -> None:
        import torch

        self._loader = loader
        self._written = [
            tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor.clone() for tensor in tensors
        ]
        self._tensors = [
            tensor if tensor.dtype == torch.bfloat16 else own
            for tensor, own in zip(tensors, self._written, strict=True)
        ]
        self._buffers = [tensor.numpy() for tensor in self._written]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """[size, ...] each, fp32 or as compiled, in memory that no later call writes to."""
        for buffer, array in zip(self._buffers, arrays, strict=True):
            fill(buffer, array)
        for tensor, own in zip(self._tensors, self._written, strict=True):
            if tensor is not own:
                tensor.copy_(own)
        return [self._array(result) for result in self._loader.boxed_run(list(self._tensors))]

    def _array(self, result: torch.Tensor) -> np.ndarray:
        if result.element_size() == HALF_BYTES:
            return result.float().numpy()
        # A package that computes nothing gives back what it was given.
        own = any(result.data_ptr() == tensor.data_ptr() for tensor in self._tensors)
        return result.numpy().copy() if own else result.numpy()


@contextlib.contextmanager
def serving_threads() -> Iterator[None]:
    """As many threads in torch as cores that this machine's plan gives a server.

    oneDNN chooses the layout of packed weights for the number of threads. ResNet-50 in fp32, packed with two threads
    and run with one, took 2.4 times as long as OpenVINO at batch 1, since it packed weights anew at each call; packed
    with one it took as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(len(plan_cores(physical_cores(sorted(os.sched_getaffinity(0)))).server))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def compile_package(module: nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> OperatorEvidence:
    """Write the package of `module` for inputs like `example`; returns what Inductor's graph consists of."""
    import torch
    from torch._inductor import aoti_compile_and_package, config

    found: list[OperatorEvidence] = []
    with quiet(), torch.no_grad():
        program = torch.export.export(module, example)
        with config.patch(post_grad_custom_pre_pass=lambda graph: found.append(operator_evidence(graph))):
            aoti_compile_and_package(program, package_path=str(path), inductor_configs=dict(OPTIONS))
    return found[-1]
