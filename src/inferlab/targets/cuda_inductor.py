"""An NVIDIA GPU through AOTInductor: one package for each batch size, from torch.export, run as a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.records import Accelerator, ArtifactRecord, Precision
from inferlab.targets.aot_packages import example_inputs, package_file
from inferlab.targets.base import TARGETS, Availability, Built, Placement, Target, installed_version
from inferlab.targets.nvidia_gpu import AMPERE, Capability, compute_capability, gpu_for_torch, gpus, no_bf16, on_gpus
from inferlab.targets.operators import OperatorEvidence, compute_operators
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from inferlab.models.base import Model
    from inferlab.targets.cuda.sessions import StaticSession

OLDEST: Capability = (7, 0)
"""Of what Triton compiles for, in which Inductor writes its kernels."""

REFUSED: dict[Precision, str] = {
    "weight-only": "weight-only int8 on CUDA saves memory traffic of large language models, and is not built in",
}
GRAPHS = "cuda_graphs"
ON = "each batch size"


@TARGETS.register("cuda-inductor")
class CudaInductor(Target):
    """The artifact is one AOTInductor package for each batch size. fp32 means IEEE fp32, not TF32.

    int8 is torchao's, in linear layers; what it leaves over runs in bf16, before compute capability 8.0 in fp16.
    """

    name: ClassVar[str] = "cuda-inductor"
    engine: ClassVar[dict[str, str]] = {"torch": "torch", "pynvml": "nvidia-ml-py"}
    device: ClassVar[str] = "cuda"

    def probe(self) -> Availability:
        return gpu_for_torch("Inductor", OLDEST, {})

    def accelerators(self) -> tuple[Accelerator, ...]:
        return gpus()

    def placement(self, cores: tuple[int, ...]) -> Placement:
        return on_gpus(cores)

    def supports(self, precision: Precision) -> str | None:
        return no_bf16(compute_capability()) if precision == "bf16" else REFUSED.get(precision)

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

        from inferlab.targets.cuda.network import refuse_other_architectures, tf32_settings, without_tf32
        from inferlab.targets.cuda.sessions import why_no_graphs

        capability = compute_capability()
        refuse_other_architectures(capability)
        without_tf32()
        operators = len(compute_operators(source.program))
        network, rest, low, mac_share = self._network(
            model, source, precision, calibration, min(batch_sizes), capability, operators
        )
        for size in batch_sizes:
            with torch.no_grad():
                program = torch.export.export(network, example_inputs(model, size, torch.float32, self.device))
            aoti_compile_and_package(program, package_path=str(out_dir / package_file(size)))
        refused = why_no_graphs(model, self._packages(out_dir, batch_sizes), self.device)
        evidence = OperatorEvidence(
            operators=operators,
            low_precision_operators=low,
            low_precision_mac_share=mac_share,
            operators_on_accelerator_share=1.0,
            note=f"no CUDA graph, every kernel is launched by itself: {refused}" if refused else "",
        )
        settings = {**tf32_settings(), GRAPHS: f"none: {refused}" if refused else ON, "floats": rest}
        versions = {**self.versions(), "torchao": installed_version("torchao")}
        return Built(tuple(batch_sizes), evidence, versions, settings=settings)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> StaticSession:
        import torch

        from inferlab.targets.cuda.network import without_tf32
        from inferlab.targets.cuda.sessions import StaticSession

        torch.set_num_threads(len(cores))
        without_tf32()  # cuDNN and cuBLAS, which packages call, ask for it as they run
        packages = self._packages(artifact_dir, record.batch_sizes)
        return StaticSession(model, packages, self.device, graphs=record.settings.get(GRAPHS) == ON)

    def _network(
        self,
        model: Model,
        source: Source,
        precision: Precision,
        calibration: dict[str, np.ndarray] | None,
        smallest_batch: int,
        capability: Capability | None,
        operators: int,
    ) -> tuple[nn.Module, str, int, float]:
        """The network on the device, the type of its floats, its operators in low precision, their share of MACs."""
        from inferlab.targets.cuda.int8 import quantize_linear_layers
        from inferlab.targets.cuda.network import DTYPES, InPrecision

        if precision in DTYPES:
            low = precision != "fp32"
            network = InPrecision(source.module.to(self.device), DTYPES[precision])
            return network, precision, operators if low else 0, float(low)
        rest: Precision = "bf16" if capability is None or capability >= AMPERE else "fp16"
        network = InPrecision(source.module.to(self.device), DTYPES[rest])
        quantized = quantize_linear_layers(model, network, smallest_batch, calibration, self.device)
        return network, rest, len(quantized.layers), quantized.mac_share

    def _packages(self, folder: Path, sizes: Sequence[int]) -> dict[int, Any]:
        from torch._inductor import aoti_load_package

        # Its bookkeeping of threads would wait on the stream, which is not permitted while a graph is recorded.
        return {size: aoti_load_package(str(folder / package_file(size)), run_single_threaded=True) for size in sizes}
