"""Tensors in messages of the Open Inference Protocol V2: as JSON, or as bytes that follow the JSON."""

from __future__ import annotations

import math
import reprlib
from typing import Any, Protocol

import numpy as np

from inferlab.errors import UserError

Tensors = dict[str, np.ndarray]

DATATYPES = {
    "bool": "BOOL",
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
"""numpy's name of a type -> the protocol's."""
DTYPES = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}


KINDS: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""What the elements of a tensor are in JSON, by the kind of their type."""
_SHORT = reprlib.Repr()
"""Reads no more of a value than it shows."""
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxdict = 20
_SHORT.maxlevel = 4


class Spec(Protocol):
    """What is known of a tensor; `shape` is without the batch dimension."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class ProtocolError(UserError):
    """A message is not as the protocol or the model wants it; `field` is where, and the text says what was expected."""

    def __init__(self, field: str, found: str, expected: str) -> None:
        super().__init__(f"{field}: {found}; expected {expected}")
        self.field = field


def encode_tensors(tensors: Tensors, binary: frozenset[str]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The JSON objects of tensors, and the bytes of those that are named in `binary`, in the same order."""
    items: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for name, value in tensors.items():
        item: dict[str, Any] = {"name": name, "shape": value.shape, "datatype": DATATYPES[value.dtype.name]}
        if name in binary:
            chunk = value.astype(DTYPES[item["datatype"]], copy=False).tobytes()
            item["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        else:
            item["data"] = np.ravel(value).tolist()
        items.append(item)
    return items, chunks


def decode_tensor(
    item: dict[str, Any], where: str, rest: memoryview, datatype: str | None, tail: tuple[int, ...] | None
) -> tuple[np.ndarray, memoryview]:
    """A tensor and what is left of the binary part; `datatype` and `tail` are what the model wants, None where open."""
    found = text_of(item, "datatype", where)
    if found not in DTYPES or (datatype is not None and found != datatype):
        raise ProtocolError(f"{where}.datatype", shown(found), datatype or ", ".join(DTYPES))
    shape = _shape(item, where, tail)
    size = parameters_of(item, f"{where}.").get("binary_data_size")
    if size is None:
        return _from_json(item, where, DTYPES[found], shape), rest
    if "data" in item:
        raise ProtocolError(where, "both data and binary_data_size", "one of them")
    dtype = DTYPES[found]
    expected = math.prod(shape) * dtype.itemsize
    if type(size) is not int or size != expected:
        raise ProtocolError(f"{where}.parameters.binary_data_size", shown(size), f"{expected} for its shape and type")
    if len(rest) < expected:
        raise ProtocolError(where, f"only {len(rest)} bytes of its binary data are in the body", f"{expected}")
    value = _in_shape(np.frombuffer(rest[:expected], dtype), shape, where)
    if found == "BOOL" and value.view(np.uint8).max(initial=0) > 1:
        raise ProtocolError(where, "a byte that is neither 0 nor 1", "BOOL")
    if datatype is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ProtocolError(where, "a value that is not finite", f"finite {found}")
    # Engines read whole elements from their own addresses; the sender's JSON decides where the bytes lie.
    return (value if value.flags.aligned else value.copy()), rest[expected:]


def _in_shape(value: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    try:
        return value.reshape(shape)
    except ValueError as error:  # more dimensions, or larger ones beside an empty one, than numpy has
        raise ProtocolError(f"{where}.shape", f"{shown(shape)} ({error})", "a shape that numpy can have") from None


def _shape(item: dict[str, Any], where: str, tail: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = item.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ProtocolError(f"{where}.shape", shown(shape), "a list of whole numbers")
    if tail is not None and (len(shape) != len(tail) + 1 or tuple(shape[1:]) != tail or shape[0] < 1):
        wanted = ", ".join(["batch", *map(str, tail)])
        raise ProtocolError(f"{where}.shape", shown(shape), f"[{wanted}] with a batch of at least 1")
    return tuple(shape)


def _from_json(item: dict[str, Any], where: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Data in JSON, flat or nested. numpy reads it; whatever is no number of the right kind and range is refused."""
    data = item.get("data")
    field = f"{where}.data"
    count = math.prod(shape)
    if not isinstance(data, list):
        raise ProtocolError(field, shown(data), "a list of numbers, or parameters.binary_data_size")
    _check_elements(data, KINDS[dtype.kind], len(shape), field, dtype)
    try:
        found = _numbers(data, dtype)
    except (ValueError, OverflowError) as error:
        raise ProtocolError(field, f"uneven or out of range ({error})", f"numbers of shape {list(shape)}") from None
    if found.size != count or (count and found.shape not in ((count,), shape)):
        raise ProtocolError(field, f"shape {list(found.shape)}", f"{list(shape)} or a flat list of {count}")
    if count and dtype.kind != "b":
        _check_range(found, dtype, field)
    return _in_shape(found.astype(dtype), shape, where)


def _check_elements(data: list[Any], kinds: set[type], depth: int, field: str, dtype: np.dtype[Any]) -> None:
    """Before numpy sees them: of texts it would make an array as wide as the longest, and of truth values numbers."""
    found = set(map(type, data))
    if found == {list} and depth > 1:
        for row in data:
            _check_elements(row, kinds, depth - 1, field, dtype)
    elif not found <= kinds:
        raise ProtocolError(field, "something that is no such number", DATATYPES[dtype.name])


def _numbers(data: list[Any], dtype: np.dtype[Any]) -> np.ndarray:
    found: np.ndarray = np.array(data)
    if dtype == np.uint64 and found.dtype.kind == "f":
        # numpy makes float64 of integers where some are beyond int64 and others are not
        exact: np.ndarray = np.array(data, dtype=object)
        if all(type(value) is int for value in exact.flat):
            return exact.astype(np.uint64)
    return found


def _check_range(found: np.ndarray, dtype: np.dtype[Any], field: str) -> None:
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    # Python's numbers compare without rounding one to the type of the other.
    lowest, highest = np.array([limits.min, limits.max], dtype).tolist()
    low, high = found.min().item(), found.max().item()
    if low < lowest or high > highest:
        raise ProtocolError(field, f"values from {low} to {high}", f"{lowest} to {highest}")


def text_of(item: dict[str, Any], name: str, where: str) -> str:
    """`item[name]`, which must be a string. Raises ProtocolError."""
    value = item.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{where}.{name}", shown(value), "a string")
    return value


def parameters_of(item: dict[str, Any], where: str) -> dict[str, Any]:
    """The parameters of an object of the message, empty where it has none. Raises ProtocolError."""
    parameters = item.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ProtocolError(f"{where}parameters", shown(parameters), "an object")
    return parameters


def shown(value: object) -> str:
    """A value from outside in an error message, cut short."""
    text = "nothing" if value is None else _SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
