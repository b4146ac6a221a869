from typing import Any

from inferlab.targets.onnxruntime_profile import operator_evidence


def kernel(name: str, inputs: list[dict[str, list[int]]], output: dict[str, list[int]]) -> dict[str, Any]:
    """An event as ONNX Runtime's profiler writes it, with the arguments that are read."""
    arguments = {"op_name": name, "input_type_shape": inputs, "output_type_shape": [output]}
    return {"cat": "Node", "name": f"node_{name}_kernel_time", "args": arguments}


CONV = kernel("Conv", [{"float": [1, 3, 8, 8]}, {"float": [16, 3, 3, 3]}, {"float": [16]}], {"float": [1, 16, 8, 8]})
QUANTIZED_CONV = kernel(
    "QLinearConv",
    [
        {"uint8": [1, 8, 8, 16]},
        {"float": []},
        {"uint8": []},
        {"int8": [32, 1, 3, 3]},
        {"float": [32]},
        {"int8": [32]},
        {"float": []},
        {"uint8": []},
    ],
    {"uint8": [1, 8, 8, 32]},
)
DYNAMIC = kernel(
    "DynamicQuantizeMatMul", [{"float": [1, 16, 32]}, {"int8": [32, 64]}, {"float": [64]}], {"float": [1, 16, 64]}
)


def test_kernels_are_counted_with_their_macs() -> None:
    evidence = operator_evidence([CONV, QUANTIZED_CONV, DYNAMIC])
    macs = (16 * 64 * 27, 32 * 64 * 9, 16 * 64 * 32)
    assert (evidence.operators, evidence.low_precision_operators) == (3, 2)
    assert evidence.low_precision_mac_share == (macs[1] + macs[2]) / sum(macs)


def test_only_kernels_that_multiply_are_counted() -> None:
    other = kernel("QuantizeLinear", [{"float": [1, 3, 8, 8]}, {"float": []}], {"uint8": [1, 3, 8, 8]})
    fence = {"cat": "Node", "name": "node_fence_after", "args": {"op_name": "Conv"}}
    session = {"cat": "Session", "name": "model_run", "args": {}}
    evidence = operator_evidence([other, fence, session])
    assert (evidence.operators, evidence.low_precision_mac_share) == (0, None)


def test_zero_points_alone_are_no_low_precision() -> None:
    odd = kernel("MatMul", [{"float": [4, 8]}, {"float": [8, 2]}, {"uint8": []}], {"float": [4, 2]})
    assert operator_evidence([odd]).low_precision_operators == 0


def test_the_share_is_unknown_where_a_kernel_does_not_tell_its_macs() -> None:
    attention = kernel("Attention", [{"float": [1, 16, 32]}, {"float": [32, 96]}], {"float": [1, 16, 32]})
    evidence = operator_evidence([DYNAMIC, attention])
    assert (evidence.operators, evidence.low_precision_operators) == (2, 1)
    assert evidence.low_precision_mac_share is None
