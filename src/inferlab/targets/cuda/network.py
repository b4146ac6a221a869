"""A module in the precision in which a GPU runs it, and what PyTorch is told beside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from inferlab.errors import Unsupported
from inferlab.records import Precision
from inferlab.targets.nvidia_gpu import Capability, written

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class InPrecision(nn.Module):
    """Takes inputs in their own types, runs `module` with floats in `dtype`, gives float32: [batch, ...] each."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        tensors = (each.to(self.dtype) if each.is_floating_point() else each for each in inputs)
        outputs: Any = self.module(*tensors)
        return tuple(each.to(torch.float32) for each in (outputs if isinstance(outputs, tuple) else (outputs,)))


def without_tf32() -> None:
    """Have fp32 computed in IEEE fp32, in matrix products and in convolutions.

    By the flags that torch calls legacy: torch 2.13 exports no program once convolutions alone were set by the others.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def tf32_settings() -> dict[str, str]:
    """Whether products in fp32 are rounded to TF32 (10 bits of mantissa), as a record states it.

    PyTorch's default is yes in cuDNN's convolutions and no in matrix products (PyTorch's CUDA semantics). GPUs before
    compute capability 8.0 have no TF32, whatever these say.
    """
    states = {
        "tf32_matrix_products": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
    }
    return {name: "allowed" if state else "off" for name, state in states.items()}


def refuse_other_architectures(capability: Capability | None) -> None:
    """Raise Unsupported where this build of torch has no kernels for the GPU.

    Kernels of an architecture run on later ones of the same major number, and on others where their PTX was kept.
    """
    built = [int(name.rpartition("_")[2].rstrip("af")) for name in torch.cuda.get_arch_list() if "_" in name]
    if capability is None or not built:
        return
    oldest = min(built)
    if capability < divmod(oldest, 10):
        raise Unsupported(
            f"the GPU has compute capability {written(capability)}, and torch {torch.__version__} was built for "
            f"{written(divmod(oldest, 10))} and later"
        )
