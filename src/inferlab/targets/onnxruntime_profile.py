"""What ONNX Runtime really runs: the kernels that its profiler saw, the types of their tensors and their MACs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from inferlab.targets.operators import OperatorEvidence

CONVOLUTIONS = frozenset({"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"})
PRODUCTS = frozenset(
    {
        "MatMul",
        "FusedMatMul",
        "Gemm",
        "FusedGemm",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "QLinearMatMul",
        "QGemm",
    }
)
UNCOUNTED = frozenset({"ConvTranspose", "Attention", "MultiHeadAttention", "QAttention", "GRU", "LSTM", "MatMulNBits"})
"""Kernels that multiply and accumulate, whose shapes alone do not tell how often."""
LOW_PRECISIONS = frozenset({"int8", "uint8", "float16", "bfloat16"})


def operator_evidence(events: Sequence[dict[str, Any]]) -> OperatorEvidence:
    """Count the compute kernels among the events of one profiled run without prepacked weights.

    A kernel is in low precision where a matrix that goes into it is: weights alone count, since the kernels that
    quantize activations themselves have fp32 activations. MACs are those of the shapes that the kernel works on, with
    the channels that ONNX Runtime adds to fill vectors.
    """
    total, low, macs, low_macs = 0, 0, 0, 0
    countable = True
    for kernel in (event["args"] for event in events if _is_kernel(event)):
        name = kernel["op_name"]
        if name not in CONVOLUTIONS | PRODUCTS | UNCOUNTED:
            continue
        total += 1
        matrices = [tensor for tensor in map(_tensor, kernel["input_type_shape"]) if len(tensor[1]) > 1]
        in_low_precision = any(precision in LOW_PRECISIONS for precision, _ in matrices)
        low += in_low_precision
        if name in UNCOUNTED or len(matrices) < 2:
            countable = False
            continue
        results = prod(_tensor(kernel["output_type_shape"][0])[1])
        kernel_macs = results * _terms(name, [shape for _, shape in matrices])
        macs += kernel_macs
        low_macs += kernel_macs if in_low_precision else 0
    share = low_macs / macs if countable and macs else None
    return OperatorEvidence(operators=total, low_precision_operators=low, low_precision_mac_share=share)


def _terms(name: str, shapes: Sequence[Sequence[int]]) -> int:
    """How many products are added up for one number of the result."""
    return prod(shapes[1][1:]) if name in CONVOLUTIONS else shapes[0][-1]


def _is_kernel(event: dict[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time")


def _tensor(described: dict[str, list[int]]) -> tuple[str, list[int]]:
    """{"uint8": [1, 64, 7, 7]} -> type and shape."""
    ((precision, shape),) = described.items()
    return precision, shape
