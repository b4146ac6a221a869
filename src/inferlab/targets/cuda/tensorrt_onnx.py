"""The ONNX model that TensorRT compiles: every tensor has the type in which it is to be computed.

TensorRT 11 knows strongly typed networks alone (its guide for migrating from 10.x): precision is not a builder's flag,
and int8 is where QuantizeLinear and DequantizeLinear stand. So fp16 and bf16 are exported as such, and int8 comes from
ONNX Runtime's own quantizer under TensorRT's restrictions: signed, symmetric, biases left alone.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inferlab.optimize.export import LARGEST_BATCH
from inferlab.records import Precision
from inferlab.targets.cuda.network import DTYPES, InPrecision
from inferlab.targets.onnx_model import export_model, optimized_before_quantization

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model
    from inferlab.targets.source import Source

COMPUTE = ["Conv", "Gemm", "MatMul"]
"""Operators of ONNX that multiply and accumulate."""
EXAMPLE_BATCH = 2
"""torch.export takes a batch of one for a constant."""


@dataclass(frozen=True)
class TypedModel:
    """Compute operators in the file, and how many of them have inputs of low precision."""

    operators: int
    low_precision: int


def write_typed_model(
    model: Model, source: Source, precision: Precision, calibration: dict[str, np.ndarray] | None, path: Path
) -> TypedModel:
    """Write the network as ONNX with a dynamic batch dimension, inputs and outputs in the model's own types.

    `calibration` holds input tensors [samples, ...] by name where the precision is int8-static.
    """
    import onnx

    if calibration is None:
        _export(model, source, DTYPES[precision], path)
    else:
        with tempfile.TemporaryDirectory() as folder:
            exported, ready = Path(folder) / "exported.onnx", Path(folder) / "ready.onnx"
            _export(model, source, torch.float32, exported)
            optimized_before_quantization(exported, ready)
            _quantize(ready, path, calibration)
            onnx.save(_rest_in_fp16(onnx.load(str(path))), str(path))
    graph = onnx.load(str(path)).graph
    compute = [node for node in graph.node if node.op_type in COMPUTE]
    if calibration is None:
        return TypedModel(len(compute), 0 if precision == "fp32" else len(compute))
    rounded = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    return TypedModel(len(compute), sum(set(node.input[:2]) <= rounded for node in compute))


def _export(model: Model, source: Source, dtype: torch.dtype, path: Path) -> None:
    inputs = model.preprocess(model.example_samples(EXAMPLE_BATCH, seed=0))
    example = tuple(torch.from_numpy(inputs[spec.name]) for spec in model.inputs)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    network = InPrecision(source.module, dtype).eval()
    with torch.no_grad():
        program = torch.export.export(network, example, dynamic_shapes={"inputs": tuple({0: batch} for _ in example)})
    export_model(program, model, path)


def _quantize(path: Path, out: Path, calibration: dict[str, np.ndarray]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what others deprecate
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One sample at a time, since that is how the quantizer finds ranges."""

        def __init__(self) -> None:
            self._samples = _samples(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._samples, None)

    quantize_static(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=COMPUTE,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            # Rounding stands in front of what computes in int8: TensorRT moves it to where it costs least.
            "OpTypesToExcludeOutputQuantization": COMPUTE,
        },
    )


def _rest_in_fp16(quantized: Any) -> Any:
    """What was left in fp32 in fp16, as TensorRT's own tools do it; the scales are fp16 then, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        converted = OnnxModel(convert_float_to_float16(quantized, keep_io_types=True))
        converted.topological_sort()  # casts were appended at the end
    return converted.model


def _samples(calibration: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for index in range(len(next(iter(calibration.values())))):
        yield {name: array[index : index + 1] for name, array in calibration.items()}
