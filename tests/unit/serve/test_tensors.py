import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferlab.serve.tensors import DATATYPES, ProtocolError, decode_tensor, encode_tensors, shown

ARRAYS = hnp.arrays(st.sampled_from([*DATATYPES]), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(ARRAYS)
def test_bytes_give_back_the_same_tensor_whatever_lies_around_it(array: np.ndarray) -> None:
    [item], [chunk] = encode_tensors({"x": array}, frozenset({"x"}))
    item["shape"] = list(item["shape"])
    value, rest = decode_tensor(item, "inputs[0]", memoryview(b"?" + chunk + b"after")[1:], None, None)
    np.testing.assert_array_equal(value, array)
    assert value.dtype == array.dtype
    assert value.flags.aligned
    assert bytes(rest) == b"after"


@given(ARRAYS.filter(lambda array: bool(np.isfinite(array).all())))
def test_json_gives_back_the_same_tensor_flat_or_nested(array: np.ndarray) -> None:
    [item], chunks = encode_tensors({"x": array}, frozenset())
    assert chunks == []
    item["shape"] = list(item["shape"])
    for data in (item["data"], array.tolist()):
        value, _ = decode_tensor({**item, "data": data}, "inputs[0]", memoryview(b""), None, None)
        np.testing.assert_array_equal(value, array)
        assert value.dtype == array.dtype


def test_big_endian_tensors_leave_as_little_endian_ones() -> None:
    _, [chunk] = encode_tensors({"x": np.array([1, 2], dtype=">i4")}, frozenset({"x"}))
    assert chunk == b"\1\0\0\0\2\0\0\0"


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"datatype": "BYTES", "shape": [1]}, "x.datatype"),
        ({"datatype": 3, "shape": [1]}, "x.datatype"),
        ({"datatype": "INT64"}, "x.shape"),
        ({"datatype": "INT64", "shape": [1.5]}, "x.shape"),
        ({"datatype": "INT64", "shape": [True]}, "x.shape"),
        ({"datatype": "INT64", "shape": [-1]}, "x.shape"),
        ({"datatype": "INT64", "shape": [1] * 99, "data": [1]}, "x.shape"),
        ({"datatype": "INT64", "shape": [0, 2**62, 2**62], "data": []}, "x.shape"),
        ({"datatype": "INT64", "shape": [1]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": "1"}, "x.data"),
        ({"datatype": "INT64", "shape": [2], "data": [1]}, "x.data"),
        ({"datatype": "INT64", "shape": [2], "data": [[1], [1, 2]]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": [1.5]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": ["1"]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": [None]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": [{}]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "data": [2**63]}, "x.data"),
        ({"datatype": "UINT8", "shape": [1], "data": [256]}, "x.data"),
        ({"datatype": "UINT8", "shape": [1], "data": [-1]}, "x.data"),
        ({"datatype": "UINT64", "shape": [2], "data": [-1, 2**63]}, "x.data"),
        ({"datatype": "UINT64", "shape": [2], "data": [0.5, 2**63]}, "x.data"),
        ({"datatype": "BOOL", "shape": [1], "data": [1]}, "x.data"),
        ({"datatype": "FP16", "shape": [1], "data": [70000]}, "x.data"),
        ({"datatype": "FP32", "shape": [1], "data": [True]}, "x.data"),
        ({"datatype": "INT64", "shape": [1], "parameters": 3}, "x.parameters"),
        ({"datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 7}}, "x.parameters.binary_data_size"),
        ({"datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": "8"}}, "x.parameters.binary_data_size"),
        ({"datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8.0}}, "x.parameters.binary_data_size"),
        ({"datatype": "INT64", "shape": [9], "parameters": {"binary_data_size": 72}}, "x"),
        ({"datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}}, "x"),
        ({"datatype": "INT64", "shape": [1], "data": [1], "parameters": {"binary_data_size": 8}}, "x"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(item: dict[str, object], field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_tensor(item, "x", memoryview(b"\2" * 8), None, None)
    assert caught.value.field == field
    assert "; expected " in str(caught.value)


@pytest.mark.parametrize("shape", [[3], [2, 4], [0, 3], [2, 3, 1], []])
def test_a_shape_is_held_against_the_models(shape: list[int]) -> None:
    item = {"datatype": "UINT8", "shape": shape, "data": [0] * int(np.prod(shape))}
    with pytest.raises(ProtocolError, match=r"expected \[batch, 3\] with a batch of at least 1"):
        decode_tensor(item, "x", memoryview(b""), "UINT8", (3,))


def test_values_from_outside_are_cut_short_in_messages() -> None:
    assert len(shown("x" * 10**6)) == 80


@pytest.mark.parametrize(
    "data",
    [["x" * 100_000, *[""] * 9_000], [True, 1], [[True], [1]], [1, None], [[1], 1], [[[1]]], [{}], [1.5]],
)
def test_elements_that_are_no_numbers_are_refused_before_numpy_widens_them(data: list[object]) -> None:
    item = {"datatype": "INT64", "shape": [len(data)], "data": data}
    with pytest.raises(ProtocolError, match=r"inputs\[0\]\.data: "):
        decode_tensor(item, "inputs[0]", memoryview(b""), "INT64", None)


def test_what_is_shown_of_a_deep_or_long_value_is_short() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    for value in (deep, [[]] * 1_000_000, "x" * 1_000_000, {"a": deep}, 10**4000):
        assert len(shown(value)) <= 80
