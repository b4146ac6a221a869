"""PyTorch's defaults on the CPU: the module as it is, called under inference mode. What a user has before any work."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.base import TARGETS, Availability, Built, Target
from inferlab.targets.instructions import NO_FP16
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from inferlab.models.base import Model

PICTURE_DIMENSIONS = 4
"""Batch, channels, height and width: what can lie in memory channel by channel or pixel by pixel."""

REFUSED: dict[Precision, str] = {
    "fp16": NO_FP16,
    "int8-static": (
        "PyTorch eager has no int8-static route: torch.ao.quantization is deprecated, "
        "and the operators of its successor PT2E run in int8 only after Inductor has compiled them"
    ),
    "int8-dynamic": (
        "PyTorch eager has no supported int8-dynamic route on CPUs: torch.ao.quantization is deprecated, "
        "and torchao's operators need Inductor to be fused into int8 kernels"
    ),
    "weight-only": "PyTorch eager would unpack the weights to fp32 on every call, which saves no time on CPUs",
}


@TARGETS.register("cpu-eager")
class CpuEager(Target):
    """The artifact is the module's weights and structure; nothing is compiled, and any batch size runs."""

    name: ClassVar[str] = "cpu-eager"
    engine: ClassVar[dict[str, str]] = {"torch": "torch"}
    on_cpu: ClassVar[bool] = True
    any_shape: ClassVar[bool] = True
    channels_last: ClassVar[bool] = False

    def probe(self) -> Availability:
        if find_spec("torch") is None:
            return Availability(available=False, reason="PyTorch is not installed", hint="run make setup")
        return Availability(available=True)

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

        from inferlab.models.structure import save_module
        from inferlab.targets.eager_operators import operator_evidence

        dtype = torch.bfloat16 if precision == "bf16" else None
        module = source.module if dtype is None else source.module.to(dtype)
        save_module(module, out_dir)
        session = EagerSession(model, module, dtype, self.channels_last)
        inputs = model.preprocess(model.example_samples(min(batch_sizes), seed=0))
        evidence = operator_evidence(lambda: session.run(inputs))
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions=self.versions())

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> EagerSession:
        import torch

        from inferlab.models.structure import load_module

        torch.set_num_threads(len(cores))
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        # Set by every session, since it belongs to the process, which may have run a session of another kind before.
        torch.backends.mkldnn.matmul.fp32_precision = self.fp32_products()  # type: ignore[attr-defined]
        module = load_module(model, artifact_dir)
        return EagerSession(model, module, torch.bfloat16 if record.precision == "bf16" else None, self.channels_last)

    def fp32_products(self) -> str:
        """PyTorch's name for how precisely oneDNN, where it is asked for them, computes fp32 matrix products."""
        return "none"


class EagerSession:
    """Calls the module. A forward pass in inference mode changes no state, so that several threads may run."""

    thread_safe = True

    def __init__(self, model: Model, module: nn.Module, dtype: torch.dtype | None, channels_last: bool) -> None:
        import torch

        module = module if dtype is None else module.to(dtype)
        self._channels_last = channels_last
        if channels_last:
            # torch's types know this argument for tensors alone.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._module: nn.Module | None = module
        self._dtype = dtype
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        if self._module is None:
            raise ValueError("the session is closed")
        with torch.inference_mode():
            outputs = self._module(*(self._tensor(inputs[name]) for name in self._inputs))
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        return {
            name: tensor.to(torch.float32).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
            for name, tensor in zip(self._outputs, tensors, strict=True)
        }

    def close(self) -> None:
        self._module = None

    def _tensor(self, array: np.ndarray) -> Tensor:
        import torch

        # Arrays over the bytes of a request are read-only, which torch has no notion of; the copy is small.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if self._channels_last and tensor.dim() == PICTURE_DIMENSIONS:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.to(self._dtype) if self._dtype is not None and tensor.is_floating_point() else tensor
