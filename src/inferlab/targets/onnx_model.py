"""The exported program as an ONNX model, and its int8 forms through ONNX Runtime's own quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.targets.instructions import flags_here, has_vnni
from inferlab.targets.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    from torch.export import ExportedProgram

    from inferlab.models.base import Model

OPSET = 20
"""Has GELU as one operator, and is what torch exports by default."""
PRODUCTS = ["MatMul", "Gemm"]
"""Operators of ONNX that multiply matrices."""


def export_model(program: ExportedProgram, model: Model, path: Path) -> None:
    """Write the program as ONNX in fp32 under the model's tensor names, the batch dimension as dynamic as it is."""
    import torch

    with quiet():
        exported = torch.onnx.export(
            program,
            input_names=[spec.name for spec in model.inputs],
            output_names=[spec.name for spec in model.outputs],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None, "torch gives the program where it exports one"
    exported.save(str(path), external_data=False)


def quantize_static(path: Path, out: Path, calibration: dict[str, np.ndarray], transformer: bool) -> None:
    """Write the model at `path` with int8 weights and activations as QuantizeLinear and DequantizeLinear nodes.

    A transformer (a network with attention) has its products with weights quantized, and their results stay fp32:
    what lies between them is small and computed in fp32 anyway, so that rounding it would cost accuracy for no time.
    Any other network has all that its kernels know quantized, so that values stay 8-bit from layer to layer.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One sample at a time, since that is how the quantizer finds ranges."""

        def __init__(self) -> None:
            self._samples = _samples(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._samples, None)

    quantize(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=PRODUCTS if transformer else None,
        # The quantizer's own option for it, MatMulConstBOnly, has no effect in this format.
        nodes_to_exclude=products_without_weights(onnx.load(str(path))) if transformer else None,
        per_channel=True,
        reduce_range=_must_reduce_range(),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"OpTypesToExcludeOutputQuantization": PRODUCTS} if transformer else {},
    )


def quantize_dynamic(path: Path, out: Path) -> None:
    """Write the model at `path` with int8 weights of matrix products, whose activations are quantized at run time.

    Convolutions stay fp32: ONNX Runtime has no kernel for them with int8 weights, and with uint8 weights ResNet-50
    took 2.5 times as long as in PyTorch eager.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    quantize(
        str(path),
        str(out),
        op_types_to_quantize=PRODUCTS,
        per_channel=True,
        reduce_range=_must_reduce_range(),
        weight_type=QuantType.QInt8,
    )


def optimized_before_quantization(path: Path, out: Path) -> None:
    """Write the model at `path` with batch normalization folded into convolutions and constants computed.

    Without the shapes that torch noted, which contradict those of the transposed weights that the quantizer makes.
    """
    import onnx
    from onnxruntime.quantization import quant_pre_process

    quant_pre_process(str(path), str(out), skip_symbolic_shape=True)
    model: Any = onnx.load(str(out))
    del model.graph.value_info[:]
    onnx.save(model, str(out))


def products_without_weights(model: Any) -> list[str]:
    """The names of the nodes that multiply two matrices which are both computed, as attention does."""
    weights = {initializer.name for initializer in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type in PRODUCTS and not weights & set(node.input[:2])]


def _samples(calibration: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for index in range(len(next(iter(calibration.values())))):
        yield {name: array[index : index + 1] for name, array in calibration.items()}


def _must_reduce_range() -> bool:
    """Whether weights get 7 bits: without VNNI sums of two 8-bit products overflow 16 bits."""
    return not has_vnni(flags_here())
