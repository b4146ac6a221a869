"""A strict stand-in for torch_neuronx 2.9: the documented signature, and the refusals of compiler and chip."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__version__ = "2.9.0.0+fake"

# The runtime reads its cores when it is imported; a process that names none takes all of them from its neighbours.
VISIBLE_CORES = os.environ["NEURON_RT_VISIBLE_CORES"]

FLAGS = {
    "--target": {"inf2"},
    "--model-type": {"generic", "transformer", "unet-inference"},
    "--auto-cast": {"none", "matmult", "all"},
    "--auto-cast-type": {"bf16", "fp16", "tf32", "fp8_e4m3"},
    "--optlevel": {"1", "2", "3"},
}
TRACES: list[dict[str, Any]] = []


class _Traced(nn.Module):
    """One input, one output; the shape of the trace and no other."""

    def __init__(self, traced: Any, shape: list[int]) -> None:
        super().__init__()
        self.traced = traced
        self.shape = shape

    def forward(self, tensor: Tensor) -> Tensor:
        if list(tensor.shape) != self.shape:
            raise RuntimeError("input shape was not traced")
        output: Tensor = self.traced(tensor)
        return output


def trace(
    func: nn.Module,
    example_inputs: tuple[Tensor, ...],
    *,
    input_output_aliases: dict[Any, Any] | None = None,
    compiler_workdir: str | None = None,
    compiler_args: Sequence[str] | None = None,
    partitioner_config: Any = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Any:
    arguments = _checked(list(compiler_args or []))
    if func.training:
        raise RuntimeError("module is in training mode")
    (tensor,) = example_inputs
    if tensor.device.type != "cpu" or tensor.dtype not in (torch.float32, torch.bfloat16, torch.int64, torch.int32):
        raise RuntimeError(f"inputs of {tensor.dtype} on {tensor.device} cannot be traced")
    TRACES.append(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(_Traced(torch.jit.trace(func, (tensor,)), list(tensor.shape)))


def _checked(arguments: list[str]) -> dict[str, str]:
    flags = dict(zip(arguments[::2], arguments[1::2], strict=True))
    for flag, value in flags.items():
        if value not in FLAGS.get(flag, set()):
            raise RuntimeError(f"neuronx-cc: unknown argument {flag} {value}")
    if not {"--target", "--auto-cast"} <= set(flags):
        raise RuntimeError("neuronx-cc: what has no stable default must be given")
    return flags
