"""Calibration: what a target needs to lower a module to int8, and how much each layer can take.

Targets lower the precision in their own way from the tensors; ranges and sensitivities are for people and for targets
that take them as given.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from inferlab.errors import Unsupported
from inferlab.optimize.base import STEPS, Context, Step
from inferlab.records import whole_file

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from inferlab.models.base import Model

    Batches = list[tuple[Tensor, ...]]

CALIBRATION_FILE = "calibration.npz"
RANGES_FILE = "ranges.json"
BATCH_SIZE = 32
LARGEST_INT8 = 127
HIGHEST_SIGNAL_TO_NOISE_DB = 200.0
"""Stands for a layer whose rounding changes nothing that float32 can show."""


@STEPS.register("calibrate")
class Calibrate(Step):
    """Write calibration tensors, activation ranges, and the sensitivity of each layer to int8 weights."""

    kind: Literal["calibrate"]
    sensitivity_samples: PositiveInt = Field(description="calibration samples that sensitivities are measured on")

    def apply(self, context: Context) -> dict[str, float]:
        import numpy as np

        if context.calibration is None:
            raise Unsupported(f"{context.model.name} has no data to calibrate with")
        inputs = context.model.preprocess(context.calibration.raw)
        with whole_file(context.out_dir / CALIBRATION_FILE) as part, part.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **inputs)
        ranges = activation_ranges(context.module, _batches(context.model, inputs))
        few = {name: array[: self.sensitivity_samples] for name, array in inputs.items()}
        sensitivities = weight_sensitivities(context.module, _batches(context.model, few))
        _write_ranges(context, ranges, sensitivities)
        worst = min(sensitivities.values(), default=HIGHEST_SIGNAL_TO_NOISE_DB)
        return {
            "calibration_samples": len(context.calibration),
            "layers": len(ranges),
            "lowest_signal_to_noise_db": worst,
        }


def activation_ranges(module: nn.Module, batches: Batches) -> dict[str, dict[str, float]]:
    """The smallest and largest value that goes into and comes out of each convolution and linear layer, by its name."""
    import torch

    from inferlab.optimize.macs import computing_layers

    ranges: dict[str, dict[str, float]] = {}

    def observe(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen = ranges.setdefault(name, {})
        for what, tensor in (("input", inputs[0]), ("output", output)):
            low, high = (float(value) for value in torch.aminmax(tensor))
            seen[f"{what}_min"] = min(low, seen.get(f"{what}_min", low))
            seen[f"{what}_max"] = max(high, seen.get(f"{what}_max", high))

    handles = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: observe(name, inputs, output))
        for name, layer in computing_layers(module).items()
    ]
    try:
        _outputs(module, batches)
    finally:
        for handle in handles:
            handle.remove()
    return ranges


def weight_sensitivities(module: nn.Module, batches: Batches) -> dict[str, float]:
    """The signal-to-noise ratio of the output in dB when the weights of one layer alone are rounded to int8, by layer.

    10 log10(sum of squares of the output / sum of squares of its change); lower is more sensitive.
    """
    import torch

    from inferlab.optimize.macs import computing_layers
    from inferlab.progress import progress

    reference = _outputs(module, batches)
    layers = computing_layers(module)
    ratios: dict[str, float] = {}
    with progress(len(layers), "sensitivity of each layer") as advance:
        for name, layer in layers.items():
            weight = layer.weight.detach().clone()
            with torch.no_grad():
                layer.weight.copy_(rounded_to_int8(weight))
                noise = float((_outputs(module, batches) - reference).square().sum())
                layer.weight.copy_(weight)
            ratios[name] = _decibels(float(reference.square().sum()), noise)
            advance(1)
    return ratios


def rounded_to_int8(weight: Tensor) -> Tensor:
    """`weight` rounded to symmetric int8 with one scale for each output channel, as float32."""
    import torch

    channels = weight.shape[0]
    scale = weight.reshape(channels, -1).abs().amax(dim=1).clamp(min=torch.finfo(weight.dtype).tiny) / LARGEST_INT8
    zero_point = torch.zeros(channels, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -LARGEST_INT8, LARGEST_INT8)


def _decibels(signal: float, noise: float) -> float:
    if noise == 0 or signal == 0:
        return HIGHEST_SIGNAL_TO_NOISE_DB
    return round(min(10 * math.log10(signal / noise), HIGHEST_SIGNAL_TO_NOISE_DB), 3)


def _batches(model: Model, inputs: dict[str, np.ndarray]) -> Batches:
    """The inputs in batches, each without what pads all of it, which would only cost time."""
    import torch

    names = [spec.name for spec in model.inputs]
    batches = []
    for start in range(0, len(inputs[names[0]]), BATCH_SIZE):
        batch = model.without_padding({name: inputs[name][start : start + BATCH_SIZE] for name in names})
        batches.append(tuple(torch.from_numpy(batch[name]) for name in names))
    return batches


def _outputs(module: nn.Module, batches: Batches) -> Tensor:
    import torch

    module.eval()
    with torch.no_grad():
        return torch.cat([module(*batch) for batch in batches])


def _write_ranges(context: Context, ranges: dict[str, dict[str, float]], sensitivities: dict[str, float]) -> None:
    content: dict[str, Any] = {
        "schema_version": 1,
        "samples": len(context.calibration or ()),
        "activation_ranges": ranges,
        "weight_signal_to_noise_db": sensitivities,
    }
    with whole_file(context.out_dir / RANGES_FILE) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
