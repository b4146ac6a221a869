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
from inferlab.files import whole_file
from inferlab.optimize.base import STEPS, Context, Step

if TYPE_CHECKING:
    from torch import Tensor, nn

    from inferlab.data.base import Samples
    from inferlab.models.base import Model

    Batches = list[tuple[Tensor, ...]]

CALIBRATION_FILE = "calibration.npz"
RANGES_FILE = "ranges.json"
BATCH_SIZE = 16
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
            np.savez(stream, allow_pickle=False, **inputs)
        ranges = activation_ranges(context.module, _batches(context.model, context.calibration))
        few = context.calibration.take(slice(0, self.sensitivity_samples))
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
    module.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
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

    layers = computing_layers(module)
    signal, noises = 0.0, dict.fromkeys(layers, 0.0)
    module.eval()
    try:
        with torch.no_grad(), progress(len(batches) * len(layers), "sensitivity of each layer") as advance:
            for batch in batches:
                reference, given = _recorded(module, layers, batch)
                signal += float(reference.square().sum())
                for name, outputs in given.items():
                    noises[name] += _noise(module, layers[name], batch, reference)
                    advance(1)
                    if len(outputs) == 1:  # What comes before the layers that follow stays as it is.
                        _repeat(layers[name], outputs[0])
                _forget(layers)
    finally:
        _forget(layers)
    return {name: _decibels(signal, noise) for name, noise in noises.items()}


def _recorded(
    module: nn.Module, layers: dict[str, nn.Conv2d | nn.Linear], batch: tuple[Tensor, ...]
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """The module's output, and what each layer gives at each call, by name in the order of first calls."""
    given: dict[str, list[Tensor]] = {}
    handles = [
        layer.register_forward_hook(lambda _, __, output, name=name: given.setdefault(name, []).append(output.clone()))
        for name, layer in layers.items()
    ]
    try:
        return module(*batch), given
    finally:
        for handle in handles:
            handle.remove()


def _noise(module: nn.Module, layer: nn.Conv2d | nn.Linear, batch: tuple[Tensor, ...], reference: Tensor) -> float:
    """The sum of squares of the output's change when the weights of `layer` are rounded."""
    weight = layer.weight.detach().clone()
    layer.weight.copy_(rounded_to_int8(weight))
    try:
        return float((module(*batch) - reference).square().sum())
    finally:
        layer.weight.copy_(weight)


def _repeat(layer: nn.Module, output: Tensor) -> None:
    """Have the layer give `output` instead of computing it."""
    layer.__dict__["forward"] = lambda *_: output.clone()


def _forget(layers: dict[str, nn.Conv2d | nn.Linear]) -> None:
    """Have the layers compute again instead of giving what was recorded."""
    for layer in layers.values():
        layer.__dict__.pop("forward", None)


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


def _batches(model: Model, samples: Samples) -> Batches:
    """The inputs in batches of like length, each without what pads all of it, which would only cost time."""
    import numpy as np
    import torch

    lengths = model.sample_lengths(samples.raw)
    ordered = samples if lengths is None else samples.take(np.argsort(lengths, kind="stable"))
    batches = []
    for start in range(0, len(ordered), BATCH_SIZE):
        batch = model.without_padding(model.preprocess(ordered.take(slice(start, start + BATCH_SIZE)).raw))
        batches.append(tuple(torch.from_numpy(batch[spec.name]) for spec in model.inputs))
    return batches


def _write_ranges(context: Context, ranges: dict[str, dict[str, float]], sensitivities: dict[str, float]) -> None:
    content: dict[str, Any] = {
        "schema_version": 1,
        "samples": len(context.calibration or ()),
        "activation_ranges": ranges,
        "weight_signal_to_noise_db": sensitivities,
    }
    with whole_file(context.out_dir / RANGES_FILE) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
