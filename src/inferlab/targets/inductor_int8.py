"""An exported program with int8 weights and activations in the form that Inductor compiles on x86: PT2E."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inferlab.targets.instructions import flags_here, has_vnni
from inferlab.targets.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from inferlab.models.base import Model

CALIBRATION_BATCH = 16


def quantized(program: ExportedProgram, model: Model, calibration: dict[str, np.ndarray] | None) -> nn.Module:
    """The program as a module that rounds in front of every operator that has int8 kernels.

    Ranges of activations come from the calibration samples. Without them they are found at run time, for linear layers
    alone: Inductor has no convolutions that do so, and would compute on rounded numbers in fp32.
    """
    import torch

    with quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
            X86InductorQuantizer,
            get_default_x86_inductor_quantization_config,
        )

        # Without VNNI sums of two 8-bit products overflow 16 bits, so that activations get 7.
        config = get_default_x86_inductor_quantization_config(
            is_dynamic=calibration is None, reduce_range=not has_vnni(flags_here())
        )
        quantizer = X86InductorQuantizer()
        if calibration is None:
            quantizer.set_function_type_qconfig(torch.nn.functional.linear, config)
        else:
            quantizer.set_global(config)
        module: Any = program.module(check_guards=False)
        observed = prepare_pt2e(module, quantizer)
        with torch.no_grad():
            for batch in _batches(model, calibration or {}):
                observed(*batch)
        converted: nn.Module = convert_pt2e(observed)
    return converted


def _batches(model: Model, calibration: dict[str, np.ndarray]) -> Iterator[tuple[Tensor, ...]]:
    import torch

    samples = len(next(iter(calibration.values()), ()))
    for start in range(0, samples, CALIBRATION_BATCH):
        yield tuple(
            torch.from_numpy(calibration[spec.name][start : start + CALIBRATION_BATCH]) for spec in model.inputs
        )
