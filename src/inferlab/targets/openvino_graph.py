"""What OpenVINO's CPU plugin really runs: the kernels of a compiled network, their precision and their MACs."""

from __future__ import annotations

from math import prod
from typing import Any

from inferlab.targets.operators import OperatorEvidence, attention_macs

COMPUTE_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul", "ScaledDotProductAttention"})
"""Layer types of the runtime graph that multiply and accumulate."""
FUSABLE = frozenset({"MatMul", "ScaledDotProductAttention"})
"""Operators of the network that the plugin also fuses into a generated kernel (layer type Subgraph)."""
EIGHT_BITS = frozenset({"i8", "u8"})
LOW_PRECISIONS = EIGHT_BITS | {"bf16", "f16"}


def operator_evidence(network: Any, runtime: Any, activations_rounded: bool = False) -> OperatorEvidence:
    """Count the compute kernels of `runtime`, the graph that was compiled from `network` with fixed shapes.

    A kernel's precision is the suffix of its primitive's name, such as brgconv_avx512_I8; `runtimePrecision` would be
    the type of its first input, which may be a boolean mask. Kernels that round their activations at run time have
    none of these marks: with `activations_rounded` those are counted whose weights are 8-bit.
    """
    fusable = {
        operator.get_friendly_name(): operator for operator in network.get_ops() if operator.get_type_name() in FUSABLE
    }
    total, low, macs, low_macs = 0, 0, 0, 0
    notes: list[str] = []
    countable = True
    for node in runtime.get_ops():
        info = node.get_rt_info()
        fused = [fusable[name] for name in _text(info, "originalLayersNames").split(",") if name in fusable]
        layer = _text(info, "layerType")
        if layer not in COMPUTE_LAYERS and not fused:
            continue
        total += 1
        node_macs = _macs(node, layer, fused)
        countable = countable and node_macs is not None
        macs += node_macs or 0
        in_low_precision = _text(info, "primitiveType").rsplit("_", 1)[-1].lower() in LOW_PRECISIONS
        if activations_rounded and layer == "FullyConnected":
            in_low_precision = in_low_precision or _has_8_bit_weights(node)
        if in_low_precision and layer not in COMPUTE_LAYERS and _has_float_input(node):
            notes = ["fused attention multiplies scores in low precision and values in fp32; it is counted as fp32"]
            continue
        low += in_low_precision
        low_macs += (node_macs or 0) if in_low_precision else 0
    share = low_macs / macs if countable and macs else None
    return OperatorEvidence(
        operators=total, low_precision_operators=low, low_precision_mac_share=share, note="; ".join(notes)
    )


def _macs(node: Any, layer: str, fused: list[Any]) -> int | None:
    """Multiply-accumulates of one kernel, or None where its shapes do not tell."""
    if layer == "FullyConnected":
        return prod(_output(node)) * _input(node, 0)[-1]
    if layer in ("Convolution", "Deconvolution"):
        weights = _input(node, 1)
        pixels = _output(node) if layer == "Convolution" else _input(node, 0)
        return prod(pixels) * prod(weights) // pixels[1]
    if fused and all(operator.get_type_name() == "ScaledDotProductAttention" for operator in fused):
        return sum(attention_macs(*(_input(operator, index) for index in range(3))) for operator in fused)
    return None


def _has_float_input(node: Any) -> bool:
    sources = (port.get_source_output().get_node() for port in node.inputs())
    return any("f32" in _text(source.get_rt_info(), "outputPrecisions").split(",") for source in sources)


def _has_8_bit_weights(node: Any) -> bool:
    weights = node.input(1).get_source_output().get_node()
    return bool(EIGHT_BITS.intersection(_text(weights.get_rt_info(), "outputPrecisions").split(",")))


def _text(info: Any, key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""


def _input(node: Any, index: int) -> list[int]:
    return [int(size) for size in node.input(index).get_source_output().get_shape()]


def _output(node: Any) -> list[int]:
    return [int(size) for size in node.output(0).get_shape()]
