"""The infer messages of the Open Inference Protocol V2, as JSON and with the binary tensor extension.

https://github.com/kserve/open-inference-protocol (inference_rest.md) and, for binary tensors,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md:
a body is JSON, followed by the bytes of the binary tensors (little endian, row-major) in the order of the JSON. The
header `Inference-Header-Content-Length` says how long the JSON is; without it the body is JSON alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from inferlab.errors import near_match
from inferlab.serve.tensors import (
    DATATYPES,
    ProtocolError,
    Spec,
    Tensors,
    decode_tensor,
    encode_tensors,
    parameters_of,
    shown,
    text_of,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
RAW_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
"""As ASGI names it."""
ALIGNMENT_BYTES = 16
"""Of the first binary tensor in a body: what memory is aligned to in any case."""
LONGEST_TIMEOUT_US = 86_400_000_000
VERSION = "1"
"""Of every model: a deployment has one."""
JSON_BYTES_PER_ELEMENT = 25
"""The longest element in JSON: a float64 of 17 digits with its signs, exponent and comma."""
JSON_HEADER_BYTES = 65536
"""For everything in a request but its elements."""


class InferRequest(NamedTuple):
    """A decoded request. All inputs have the same batch size, which is at least 1."""

    inputs: Tensors
    id: str | None = None
    outputs: tuple[str, ...] = ()
    """Names of the outputs wanted; empty means all."""
    binary: frozenset[str] = frozenset()
    """Names of the outputs wanted as binary tensors."""
    all_binary: bool = False
    """Whether outputs come as binary tensors where the request does not say otherwise."""
    timeout_s: float | None = None
    """How long the request may take, where it says so."""


class InferResponse(NamedTuple):
    """A decoded response."""

    model_name: str
    outputs: Tensors
    id: str | None = None


def body_limit(inputs: Sequence[Spec], max_batch_size: int) -> int:
    """Bytes that no sensible request exceeds: every element of the largest batch in its longest JSON form."""
    elements = sum(math.prod(spec.shape) for spec in inputs) * max_batch_size
    return elements * JSON_BYTES_PER_ELEMENT + JSON_HEADER_BYTES


def encode_request(
    inputs: Tensors, *, binary: bool = True, binary_outputs: bool = True, id: str | None = None
) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a request that carries `inputs` as binary tensors or as JSON, and wants its outputs so."""
    header: dict[str, Any] = {} if id is None else {"id": id}
    header["inputs"], chunks = encode_tensors(inputs, frozenset(inputs) if binary else frozenset())
    header["parameters"] = {"binary_data_output": binary_outputs}
    return _join(orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY), chunks)


def encode_response(
    model_name: str, outputs: Tensors, request: InferRequest, parameters: Mapping[str, float]
) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of the response to a request that `check_wishes` passed.

    JSON has no NaN and no infinity; where an output may hold them, clients ask for binary tensors.
    """
    if request.outputs:
        outputs = {name: outputs[name] for name in request.outputs}
    binary = frozenset(outputs) if request.all_binary else request.binary
    header: dict[str, Any] = {"model_name": model_name, "model_version": VERSION}
    if request.id is not None:
        header["id"] = request.id
    header["parameters"] = parameters
    header["outputs"], chunks = encode_tensors(outputs, binary)
    return _join(orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY), chunks)


def check_wishes(request: InferRequest, specs: Sequence[Spec]) -> None:
    """Raise ProtocolError where the request wants an output that the model does not have."""
    known = [spec.name for spec in specs]
    for index, name in enumerate(request.outputs):
        if name not in known:
            raise _unknown(f"outputs[{index}].name", name, known)


def decode_request(body: bytes, header_length: str | None, specs: Sequence[Spec]) -> InferRequest:
    """A request for a model with these inputs; `header_length` is the header's value, None where it is missing.

    Tensors may be read-only views of `body`. Raises ProtocolError.
    """
    return read_request(*_header(body, header_length), specs)


def read_request(header: dict[str, Any], rest: memoryview, specs: Sequence[Spec]) -> InferRequest:
    """As `decode_request`, for JSON that was read, and the binary tensors after it."""
    by_name = {spec.name: spec for spec in specs}
    inputs: Tensors = {}
    batch_size = None
    for index, item in enumerate(_objects(header, "inputs")):
        where = f"inputs[{index}]"
        name = text_of(item, "name", where)
        spec = by_name.get(name)
        if spec is None:
            raise _unknown(f"{where}.name", name, by_name)
        if name in inputs:
            raise ProtocolError(f"{where}.name", f"{name!r} comes twice", "each input once")
        value, rest = decode_tensor(item, where, rest, DATATYPES[spec.dtype], spec.shape)
        if batch_size not in (None, len(value)):
            raise ProtocolError(f"{where}.shape", f"batch size {len(value)}", f"{batch_size}, as the inputs before it")
        batch_size = len(value)
        inputs[name] = value
    for name in by_name:
        if name not in inputs:
            raise ProtocolError("inputs", f"{name!r} is missing", ", ".join(map(repr, by_name)))
    _all_read(rest)
    return _with_wishes(header, inputs)


def decode_response(body: bytes, header_length: str | None) -> InferResponse:
    """A response; `header_length` as in `decode_request`. Raises ProtocolError."""
    header, rest = _header(body, header_length)
    outputs: Tensors = {}
    for index, item in enumerate(_objects(header, "outputs")):
        where = f"outputs[{index}]"
        name = text_of(item, "name", where)
        outputs[name], rest = decode_tensor(item, where, rest, None, None)
    _all_read(rest)
    return InferResponse(text_of(header, "model_name", "response"), outputs, _optional_text(header, "id"))


def _join(header: bytes, chunks: list[bytes]) -> tuple[bytes, dict[str, str]]:
    if not chunks:
        return header, {"Content-Type": "application/json"}
    header += b" " * (-len(header) % ALIGNMENT_BYTES)  # JSON may end in spaces; the first tensor then is aligned
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
    return b"".join((header, *chunks)), headers


def _header(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12):
            raise ProtocolError(HEADER_LENGTH, f"{header_length[:40]!r}", "a whole number of bytes")
        length = int(header_length)
        if length > len(body):
            raise ProtocolError(HEADER_LENGTH, f"{length}", f"at most the body's {len(body)} bytes")
    try:
        header = orjson.loads(body[:length])
    except orjson.JSONDecodeError as error:
        raise ProtocolError("body", f"not JSON ({error})", f"a JSON object in its first {length} bytes") from None
    if not isinstance(header, dict):
        raise ProtocolError("body", f"a JSON {type(header).__name__}", "a JSON object")
    return header, memoryview(body)[length:]


def _objects(header: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = header.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ProtocolError(name, shown(items), "a list of objects")
    return items


def _optional_text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise ProtocolError(name, shown(value), "a string")
    return value


def _flag(parameters: dict[str, Any], name: str, where: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise ProtocolError(f"{where}parameters.{name}", shown(value), "true or false")
    return value


def _with_wishes(header: dict[str, Any], inputs: Tensors) -> InferRequest:
    id = _optional_text(header, "id")
    parameters = parameters_of(header, "")
    everything = _flag(parameters, "binary_data_output", "") or False
    request = InferRequest(inputs, id, all_binary=everything, timeout_s=_timeout_s(parameters))
    if "outputs" not in header:
        return request
    names: list[str] = []
    binary: set[str] = set()
    for index, item in enumerate(_objects(header, "outputs")):
        where = f"outputs[{index}]."
        name = text_of(item, "name", where[:-1])
        names.append(name)
        wish = _flag(parameters_of(item, where), "binary_data", where)
        if everything if wish is None else wish:
            binary.add(name)
    if not names:
        return request
    return InferRequest(inputs, id, tuple(names), frozenset(binary), timeout_s=request.timeout_s)


def _timeout_s(parameters: dict[str, Any]) -> float | None:
    """Triton's `timeout`, in microseconds; 0 is none (extension_schedule_policy.md)."""
    value = parameters.get("timeout")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= LONGEST_TIMEOUT_US:
        expected = f"microseconds, a whole number from 0 (no timeout) to {LONGEST_TIMEOUT_US} (a day)"
        raise ProtocolError("parameters.timeout", shown(value), expected)
    return value / 1e6 or None


def _all_read(rest: memoryview) -> None:
    if len(rest):
        raise ProtocolError("body", f"{len(rest)} bytes more than its tensors need", "nothing after the last tensor")


def _unknown(where: str, name: str, known: Any) -> ProtocolError:
    near = near_match(name, known)
    hint = f" (did you mean {near!r}?)" if near else ""
    return ProtocolError(where, f"{shown(name)} is unknown{hint}", ", ".join(map(repr, known)))
