"""An NVIDIA GPU through TensorRT: one engine for each batch size, compiled from ONNX, run as a CUDA graph.

By TensorRT's own Python API and not through Torch-TensorRT: an engine is then one file that is the whole network, where
Torch-TensorRT may leave operators to PyTorch, and its int8 needs a third package.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.errors import Unsupported
from inferlab.records import Accelerator, ArtifactRecord, Precision, Provenance
from inferlab.targets.base import TARGETS, Availability, Built, Placement, Target, installed_version, owned
from inferlab.targets.nvidia_gpu import Capability, compute_capability, gpu_for_torch, gpus, no_bf16, on_gpus
from inferlab.targets.operators import OperatorEvidence, compute_operators
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model
    from inferlab.targets.cuda.sessions import StaticSession

OLDEST: Capability = (7, 5)
"""Of what TensorRT 11 supports (Turing)."""
EXTRA = "pip install 'inferlab[tensorrt]': docs/cuda.md"
PACKAGES = {
    "tensorrt": ("TensorRT", EXTRA),
    "onnx": ("ONNX", EXTRA),
    "onnxscript": ("onnxscript", EXTRA),
    "onnxruntime": ("ONNX Runtime, whose quantizer calibrates int8,", EXTRA),
}
OWNERS = ("tensorrt-cu13-bindings", "tensorrt-cu12-bindings", "tensorrt-cu13", "tensorrt-cu12", "tensorrt")
"""Distributions of NVIDIA that may bring the module, one for each version of CUDA."""

REFUSED: dict[Precision, str] = {
    "int8-dynamic": "TensorRT's int8 has fixed scales from calibration: int8-static",
    "weight-only": "TensorRT's weight-only products are made for large language models and are not built in",
}
GRAPHS = "cuda_graphs"
ON = "each batch size"


@TARGETS.register("cuda-tensorrt")
class CudaTensorRT(Target):
    """The artifact is one TensorRT plan for each batch size. fp32 means IEEE fp32, not TF32; int8 leaves fp16 over."""

    name: ClassVar[str] = "cuda-tensorrt"
    engine: ClassVar[dict[str, str]] = {"torch": "torch", "pynvml": "nvidia-ml-py"}
    device: ClassVar[str] = "cuda"

    def probe(self) -> Availability:
        return gpu_for_torch("TensorRT", OLDEST, PACKAGES)

    def accelerators(self) -> tuple[Accelerator, ...]:
        return gpus()

    def placement(self, cores: tuple[int, ...]) -> Placement:
        return on_gpus(cores)

    def supports(self, precision: Precision) -> str | None:
        return no_bf16(compute_capability()) if precision == "bf16" else REFUSED.get(precision)

    def provenance(self) -> Provenance:
        here = super().provenance()
        return here if any(owned("tensorrt", owner) for owner in OWNERS) else "fake"

    def versions(self) -> dict[str, str]:
        """Plans are of one version of TensorRT, as its module calls itself."""
        return {**super().versions(), "tensorrt": str(importlib.import_module("tensorrt").__version__)}

    def compile(
        self,
        model: Model,
        source: Source,
        precision: Precision,
        calibration: dict[str, np.ndarray] | None,
        batch_sizes: Sequence[int],
        out_dir: Path,
    ) -> Built:
        from inferlab.targets.cuda.sessions import why_no_graphs
        from inferlab.targets.cuda.tensorrt_engine import build_plan
        from inferlab.targets.cuda.tensorrt_onnx import write_typed_model

        if precision == "int8-static" and calibration is None:
            raise Unsupported("int8-static needs calibration data; the recipe has no calibrate step")
        if not compute_operators(source.program):
            raise Unsupported(f"{model.name} has no convolution or matrix product for TensorRT to compile")
        with tempfile.TemporaryDirectory() as folder:
            onnx_file = Path(folder) / "model.onnx"
            typed = write_typed_model(model, source, precision, calibration, onnx_file)
            for size in batch_sizes:
                build_plan(onnx_file, model, size, out_dir / plan_file(size))
        engines = self._engines(model, out_dir, batch_sizes)
        layers, int8_layers = engines[max(batch_sizes)].layers()
        refused = why_no_graphs(model, engines, self.device)
        share: float | None = float(precision != "fp32")
        if calibration is not None:
            share = None if int8_layers else 0.0  # which of the engine's layers are which operators, it does not say
        evidence = OperatorEvidence(
            operators=typed.operators,
            low_precision_operators=0 if share == 0 else typed.low_precision,
            low_precision_mac_share=share,
            # TensorRT refuses a network that it cannot run whole.
            operators_on_accelerator_share=1.0,
            note=f"no CUDA graph, every kernel is launched by itself: {refused}" if refused else "",
        )
        settings = {
            GRAPHS: f"none: {refused}" if refused else ON,
            "tf32": "off",
            "floats": "fp16" if calibration is not None else precision,
            "engine_layers": str(layers),
            "engine_layers_with_int8_inputs": str(int8_layers),
        }
        versions = {**self.versions(), **{name: installed_version(name) for name in ("onnx", "onnxruntime")}}
        return Built(tuple(batch_sizes), evidence, versions, settings=settings)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> StaticSession:
        import torch

        from inferlab.targets.cuda.sessions import StaticSession

        torch.set_num_threads(len(cores))
        engines = self._engines(model, artifact_dir, record.batch_sizes)
        return StaticSession(model, engines, self.device, graphs=record.settings.get(GRAPHS) == ON)

    def _engines(self, model: Model, folder: Path, sizes: Sequence[int]) -> dict[int, Any]:
        from inferlab.targets.cuda.tensorrt_engine import Engine

        return {size: Engine(folder / plan_file(size), model, size, self.device) for size in sizes}


def plan_file(size: int) -> str:
    """The engine for batches of `size`."""
    return f"batch-{size}.plan"
