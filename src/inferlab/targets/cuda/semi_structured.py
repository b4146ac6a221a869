"""2:4 sparsity on NVIDIA GPUs: of four weights in a row two are zero, and the tensor cores skip them.

Through torch.sparse.to_sparse_semi_structured, which is for the weights of linear layers in fp16 or bf16 (cuSPARSELt),
from compute capability 8.0. Convolutions stay dense.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inferlab.targets.nvidia_gpu import AMPERE, Capability

GROUP = 4
KEPT = 2


@dataclass(frozen=True)
class SparseLayers:
    """What became of a module's zeroed weights. `zeroes` are those of convolutions and linear layers."""

    layers: int
    zeroes: int
    zeroes_used: int

    @property
    def share_used(self) -> float:
        """Of the zeroed weights, the share that a kernel skips, 0 to 1; 0 where nothing is zeroed."""
        return self.zeroes_used / self.zeroes if self.zeroes else 0.0


def is_2_4(weight: Tensor) -> bool:
    """Whether of every four inputs that follow each other at most two have a weight [outputs, inputs]."""
    outputs, inputs = weight.shape
    if inputs % GROUP:
        return False
    groups = (weight != 0).reshape(outputs, inputs // GROUP, GROUP)
    return bool((groups.sum(dim=2) <= KEPT).all())


def use_2_4(module: nn.Module, capability: Capability | None) -> SparseLayers:
    """Replace the weights of linear layers that are 2:4 by torch's compressed form, where it takes them.

    `module` is on the device and in its precision. torch refuses other types than fp16 and bf16, and shapes that the
    kernels cannot tile, with a RuntimeError: such layers stay dense.
    """
    layers = zeroes = used = 0
    for part in module.modules():
        if not isinstance(part, (nn.Linear, nn.Conv2d)):
            continue
        zeroed = int((part.weight == 0).sum())
        zeroes += zeroed
        if capability is None or capability < AMPERE or not isinstance(part, nn.Linear) or not is_2_4(part.weight):
            continue
        try:
            compressed = torch.sparse.to_sparse_semi_structured(part.weight.detach().contiguous())
        except RuntimeError:
            continue
        part.weight = nn.Parameter(compressed, requires_grad=False)
        layers, used = layers + 1, used + zeroed
    return SparseLayers(layers, zeroes, used)
