"""Linear layers with int8 weights and activations on a GPU, through torchao, for Inductor to compile.

torchao's Int8DynamicActivationInt8WeightConfig and Int8StaticActivationInt8WeightConfig are its documented routes to
int8 on CUDA, and are for linear layers; PT2E's quantizer for Inductor is for x86.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from inferlab.errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

FEWEST_ROWS = 17
"""torch._int_mm on CUDA takes more than 16 rows, and inputs and outputs in multiples of 8."""
MULTIPLE = 8
LARGEST_INT8 = 127
CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class Quantized:
    """Which layers compute in int8, and their share of the multiply-accumulates of the module, 0 to 1."""

    layers: tuple[str, ...]
    mac_share: float


def quantize_linear_layers(
    model: Model,
    module: nn.Module,
    smallest_batch: int,
    calibration: dict[str, np.ndarray] | None,
    device: str,
) -> Quantized:
    """Round the weights of `module`'s linear layers to int8 in place, each by its outputs, and have inputs rounded.

    With calibration tensors [samples, ...] a layer's inputs have one scale, that of the largest magnitude seen; without
    it each row has its own, found at run time. Raises Unsupported where no layer has the shape of an int8 kernel.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao imports what it deprecates
        from torchao.quantization import (
            Int8DynamicActivationInt8WeightConfig,
            Int8StaticActivationInt8WeightConfig,
            PerRow,
            PerTensor,
            quantize_,
        )

        shapes = _seen(model, module, [_batch(model, smallest_batch, device)], lambda x: torch.tensor(x.shape))
        chosen = [name for name, layer in _linear(module).items() if _fits(layer, shapes.get(name, []))]
        if not chosen:
            raise Unsupported(
                f"{model.name} has no linear layer that PyTorch's int8 products on CUDA take: more than "
                f"{FEWEST_ROWS - 1} rows, inputs and outputs in multiples of {MULTIPLE}; they know no convolutions, "
                "cuda-tensorrt does"
            )
        share = _mac_share(model, module, chosen, shapes, _batch(model, smallest_batch, device))
        if calibration is None:
            config: Any = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
            quantize_(module, config, filter_fn=lambda _, name: name in chosen)
            return Quantized(tuple(chosen), share)
        largest = _seen(model, module, _calibration_batches(model, calibration, device), lambda x: x.abs().amax())
        for name in chosen:
            scale = torch.stack(largest[name]).amax().float() / LARGEST_INT8
            config = Int8StaticActivationInt8WeightConfig(
                act_quant_scale=scale.reshape([1] * len(shapes[name][0])),
                granularity=[PerTensor(), PerRow()],
                set_inductor_config=False,
            )
            quantize_(module, config, filter_fn=lambda _, each, name=name: each == name)
    return Quantized(tuple(chosen), share)


def _linear(module: nn.Module) -> dict[str, nn.Linear]:
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}


def _fits(layer: nn.Linear, shapes: Sequence[Tensor]) -> bool:
    rows = [int(shape[:-1].prod()) for shape in shapes]
    return (
        bool(rows)
        and min(rows) >= FEWEST_ROWS
        and layer.in_features % MULTIPLE == 0
        and layer.out_features % MULTIPLE == 0
    )


def _seen(
    model: Model, module: nn.Module, batches: Sequence[tuple[Tensor, ...]], ask: Callable[[Tensor], Tensor]
) -> dict[str, list[Tensor]]:
    """What `ask` says of each input of each linear layer that runs, by the layer's name."""
    seen: dict[str, list[Tensor]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, inputs: seen.setdefault(name, []).append(ask(inputs[0].detach()))

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in _linear(module).items()]
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _mac_share(
    model: Model,
    module: nn.Module,
    chosen: Sequence[str],
    shapes: dict[str, list[Tensor]],
    batch: tuple[Tensor, ...],
) -> float:
    """Of all multiply-accumulates: torch's counter has two operations for each, and knows attention as products."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module(*batch)
    linear = _linear(module)
    macs = sum(int(shape.prod()) * linear[name].out_features for name in chosen for shape in shapes[name])
    return 2 * macs / int(counter.get_total_flops())


def _batch(model: Model, size: int, device: str) -> tuple[Tensor, ...]:
    inputs = model.preprocess(model.example_samples(size, seed=0))
    return tuple(torch.from_numpy(inputs[spec.name]).to(device) for spec in model.inputs)


def _calibration_batches(model: Model, calibration: dict[str, np.ndarray], device: str) -> list[tuple[Tensor, ...]]:
    count = len(next(iter(calibration.values())))
    return [
        tuple(
            torch.from_numpy(calibration[spec.name][start : start + CALIBRATION_BATCH]).to(device)
            for spec in model.inputs
        )
        for start in range(0, count, CALIBRATION_BATCH)
    ]
