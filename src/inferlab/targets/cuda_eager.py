"""An NVIDIA GPU with PyTorch's defaults: the module as it is, called under inference mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inferlab.records import Accelerator, ArtifactRecord, Precision
from inferlab.targets.base import TARGETS, Availability, Built, Placement, Target
from inferlab.targets.nvidia_gpu import Capability, compute_capability, gpu_for_torch, gpus, no_bf16, on_gpus
from inferlab.targets.operators import OperatorEvidence, compute_operators
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from inferlab.models.base import Model

OLDEST: Capability = (5, 0)
"""Of the oldest GPUs that a build of torch 2.9 has kernels for; whether the one here has them, compiling asks torch."""

REFUSED: dict[Precision, str] = {
    "int8-static": "PyTorch eager has no int8-static route on CUDA; cuda-tensorrt and cuda-inductor have",
    "int8-dynamic": "torchao's int8 operators are for compiled models: without Inductor each is several kernels",
    "weight-only": "PyTorch eager would unpack the weights on every call, which saves no time",
}


@TARGETS.register("cuda-eager")
class CudaEager(Target):
    """The artifact is the module's weights and structure; any batch size runs.

    PyTorch's defaults: nothing is tuned or captured, and convolutions in fp32 round to TF32 where the GPU has it, which
    the record's settings and its note state. Weights that are 2:4 run through PyTorch's semi-structured kernels.
    """

    name: ClassVar[str] = "cuda-eager"
    engine: ClassVar[dict[str, str]] = {"torch": "torch", "pynvml": "nvidia-ml-py"}
    any_shape: ClassVar[bool] = True
    device: ClassVar[str] = "cuda"

    def probe(self) -> Availability:
        return gpu_for_torch("PyTorch", OLDEST, {})

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
        from inferlab.models.structure import save_module
        from inferlab.targets.cuda.network import DTYPES, refuse_other_architectures, tf32_settings
        from inferlab.targets.cuda.semi_structured import use_2_4

        capability = compute_capability()
        refuse_other_architectures(capability)
        module = source.module.to(DTYPES[precision])
        save_module(module, out_dir)
        sparse = use_2_4(module.to(self.device), capability)
        operators = compute_operators(source.program)
        low = precision != "fp32"
        settings = {**tf32_settings(), "sparse_2_4_layers": str(sparse.layers)}
        rounds = not low and settings["tf32_convolutions"] == "allowed" and any("conv" in name for name in operators)
        evidence = OperatorEvidence(
            operators=len(operators),
            low_precision_operators=len(operators) if low else 0,
            low_precision_mac_share=float(low),
            sparse_kernels=sparse.layers > 0,
            zeroed_weight_used_share=sparse.share_used,
            operators_on_accelerator_share=1.0,
            note="PyTorch's default: convolutions in fp32 round to TF32 from compute capability 8.0" if rounds else "",
        )
        return Built(tuple(batch_sizes), evidence, self.versions(), settings=settings)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> CudaSession:
        import torch

        from inferlab.models.structure import load_module
        from inferlab.targets.cuda.network import DTYPES, InPrecision
        from inferlab.targets.cuda.semi_structured import use_2_4

        torch.set_num_threads(len(cores))
        network = InPrecision(load_module(model, artifact_dir).to(self.device), DTYPES[record.precision])
        use_2_4(network.module, compute_capability())
        return CudaSession(model, network, self.device)


class CudaSession:
    """Copies to the GPU, calls the module, waits for the GPU, copies back: as most people write it."""

    thread_safe = False

    def __init__(self, model: Model, module: nn.Module, device: str) -> None:
        self._module: nn.Module | None = module
        self._device = device
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        if self._module is None:
            raise ValueError("the session is closed")
        # Arrays over the bytes of a request are read-only, which torch has no notion of; the copy is small.
        arrays = (inputs[name] for name in self._inputs)
        tensors = (torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays)
        with torch.inference_mode():
            outputs = self._module(*(tensor.to(self._device) for tensor in tensors))
            torch.cuda.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in zip(self._outputs, outputs, strict=True)}

    def close(self) -> None:
        import torch

        self._module = None
        torch.cuda.empty_cache()
