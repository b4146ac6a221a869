"""Multiply-accumulates, parameters and zeroes of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def macs_per_item(module: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiply-accumulates of convolutions and matrix products for one item of a batch.

    Half of what torch.utils.flop_counter counts, which has two operations a multiply-accumulate. Attention is taken
    apart into matrix products for the count, since the counter does not know the CPU's fused kernel.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module(*inputs)
    return int(counter.get_total_flops()) // 2 // len(inputs[0])


def parameter_count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def computing_layers(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Layers whose weights are matrices or kernels that inputs are multiplied with, by name; embeddings are not."""
    from torch import nn

    return {name: part for name, part in module.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))}


def zero_share(module: nn.Module) -> float:
    """The share of zeroes in the weights of the computing layers, 0 to 1; 0 where there are none."""
    weights = [part.weight for part in computing_layers(module).values()]
    total = sum(weight.numel() for weight in weights)
    zeroes = sum(int((weight == 0).sum()) for weight in weights)
    return zeroes / total if total else 0.0
