"""What Inductor really generates code for on a CPU: the compute operators of its graph, their types and MACs."""

from __future__ import annotations

from math import prod
from typing import Any

from inferlab.targets.operators import OperatorEvidence, attention_macs

CONVOLUTIONS = {
    "aten.convolution": (0, 1),
    "mkldnn._convolution_pointwise": (0, 1),
    "onednn.qconv_pointwise": (0, 3),
    "onednn.qconv2d_pointwise": (0, 3),
}
"""Convolutions, each with the positions of its input and its weights among the arguments."""
PRODUCTS = {
    "aten.mm": 0,
    "aten.addmm": 1,
    "aten.bmm": 0,
    "aten.baddbmm": 1,
    "mkldnn._linear_pointwise": 0,
    "mkl._mkl_linear": 0,
    "onednn.qlinear_pointwise": 0,
}
"""Matrix products, each with the position of its first factor among the arguments."""
ATTENTION = frozenset({"aten._scaled_dot_product_flash_attention_for_cpu"})
"""Products of queries and keys, and of what comes of them and values, in one kernel; these are its first arguments."""
UNCOUNTED = frozenset({"mkldnn._convolution_transpose_pointwise", "mkldnn.mkldnn_rnn_layer"})
"""Compute operators whose MACs do not follow from shapes in these ways."""
LOW_PRECISIONS = frozenset({"int8", "uint8", "bfloat16", "float16"})


def operator_evidence(graph: Any) -> OperatorEvidence:
    """Count the compute operators of an FX graph whose weights Inductor has packed for the kernels that it chose.

    What it does after that moves element-wise operators into these and changes neither their number nor their types.
    Shapes and types are those of the values that Inductor noted at the nodes; an operator of oneDNN's int8 kernels
    counts as low precision also where it noted none.
    """
    total, low, macs, low_macs = 0, 0, 0, 0
    countable = True
    for node in graph.nodes:
        name = _name(node)
        if node.op != "call_function" or not (
            name in CONVOLUTIONS or name in PRODUCTS or name in ATTENTION or name in UNCOUNTED
        ):
            continue
        total += 1
        in_low_precision = name.startswith("onednn.q") or _precision(node.args[_first_factor(name)]) in LOW_PRECISIONS
        low += in_low_precision
        node_macs = _macs(node, name)
        countable = countable and node_macs is not None
        macs += node_macs or 0
        low_macs += (node_macs or 0) if in_low_precision else 0
    share = low_macs / macs if countable and macs else None
    return OperatorEvidence(operators=total, low_precision_operators=low, low_precision_mac_share=share)


def _name(node: Any) -> str:
    """The operator without its overload, such as "aten.mm"; Inductor names some operators without one."""
    return ".".join(str(node.target).split(".")[:2])


def _first_factor(name: str) -> int:
    return CONVOLUTIONS[name][0] if name in CONVOLUTIONS else PRODUCTS.get(name, 0)


def _macs(node: Any, name: str) -> int | None:
    """Multiply-accumulates of one operator, or None where they cannot be told."""
    if name in ATTENTION:
        query, key, value = (_shape(argument) for argument in node.args[:3])
        if query is None or key is None or value is None:
            return None
        return attention_macs(query, key, value)
    result = _shape(node)
    if result is None or name in UNCOUNTED:
        return None
    if name in CONVOLUTIONS:
        weights = _shape(node.args[CONVOLUTIONS[name][1]])
        return None if weights is None else prod(result) * prod(weights) // result[1]
    factor = _shape(node.args[PRODUCTS[name]])
    return None if factor is None else prod(result) * factor[-1]


def _shape(node: Any) -> list[int] | None:
    """The shape of a node's value; of packed weights, of which nothing is noted, that of the tensor itself."""
    value = node.meta.get("val")
    if value is None and node.op == "get_attr":
        value = getattr(node.graph.owning_module, node.target, None)
    return None if not hasattr(value, "shape") else [int(size) for size in value.shape]


def _precision(node: Any) -> str:
    """The type of a node's value, such as "bfloat16"; empty where none is noted."""
    return str(getattr(node.meta.get("val"), "dtype", "")).removeprefix("torch.")
