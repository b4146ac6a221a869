import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferlab.serve.openinference import (
    HEADER_LENGTH,
    InferRequest,
    body_limit,
    check_wishes,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from inferlab.serve.tensors import DATATYPES, ProtocolError, Tensors


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: str
    shape: tuple[int, ...]


IDS = Spec("input_ids", "int64", (4,))
MASK = Spec("attention_mask", "int64", (4,))
SPECS = (IDS, MASK)
INPUTS: Tensors = {
    "input_ids": np.arange(8, dtype=np.int64).reshape(2, 4),
    "attention_mask": np.ones((2, 4), dtype=np.int64),
}


@st.composite
def models_and_inputs(draw: st.DrawFn) -> tuple[tuple[Spec, ...], Tensors]:
    batch = draw(st.integers(1, 4))
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3, unique=True))
    inputs: Tensors = {}
    specs = []
    for name in names:
        dtype = draw(st.sampled_from([*DATATYPES]))
        shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
        elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None
        inputs[name] = draw(hnp.arrays(dtype, (batch, *shape), elements=elements))
        specs.append(Spec(name, dtype, shape))
    return tuple(specs), inputs


@given(models_and_inputs(), st.booleans(), st.booleans(), st.none() | st.text())
def test_requests_go_there_and_back(
    model: tuple[tuple[Spec, ...], Tensors], binary: bool, binary_outputs: bool, id: str | None
) -> None:
    specs, inputs = model
    body, headers = encode_request(inputs, binary=binary, binary_outputs=binary_outputs, id=id)
    decoded = decode_request(body, headers.get(HEADER_LENGTH), specs)
    assert (decoded.id, decoded.all_binary, decoded.outputs) == (id, binary_outputs, ())
    assert list(decoded.inputs) == list(inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(decoded.inputs[name], value)
        assert decoded.inputs[name].dtype == value.dtype
    assert len(body) <= body_limit(specs, 4)


@given(models_and_inputs(), st.booleans())
def test_responses_go_there_and_back(model: tuple[tuple[Spec, ...], Tensors], binary: bool) -> None:
    _, outputs = model
    body, headers = encode_response("m", outputs, InferRequest({}, id="7", all_binary=binary), {"queue_s": 0.5})
    decoded = decode_response(body, headers.get(HEADER_LENGTH))
    assert (decoded.model_name, decoded.id) == ("m", "7")
    for name, value in outputs.items():
        np.testing.assert_array_equal(decoded.outputs[name], value)


@given(st.binary(max_size=300), st.none() | st.integers(-5, 400).map(str) | st.text(max_size=15))
def test_garbage_is_a_protocol_error_and_nothing_else(body: bytes, header_length: str | None) -> None:
    with pytest.raises(ProtocolError):
        decode_request(body, header_length, SPECS)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["name", "shape", "datatype", "data", "parameters"])


@given(FIELDS, JSON_VALUES, st.booleans())
def test_any_value_in_any_field_is_accepted_or_a_protocol_error(field: str, value: object, binary: bool) -> None:
    body, headers = encode_request(INPUTS, binary=binary)
    length = int(headers.get(HEADER_LENGTH, len(body)))
    header = json.loads(body[:length])
    header["inputs"][1][field] = value
    changed = json.dumps(header).encode()
    try:
        decoded = decode_request(changed + body[length:], str(len(changed)), SPECS)
    except ProtocolError:
        return
    assert [array.shape for array in decoded.inputs.values()] == [(2, 4), (2, 4)]


@given(st.integers(0, 1000))
def test_a_binary_body_cut_anywhere_is_refused(cut: int) -> None:
    body, headers = encode_request(INPUTS)
    with pytest.raises(ProtocolError):
        decode_request(body[: cut % len(body)], headers[HEADER_LENGTH], SPECS)


def message(**changes: Any) -> bytes:
    inputs = [{"name": spec.name, "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, 4]} for spec in SPECS]
    return json.dumps({"inputs": inputs, **changes}).encode()


def changed(index: int, **changes: Any) -> bytes:
    inputs = json.loads(message())["inputs"]
    inputs[index].update(changes)
    return message(inputs=inputs)


@pytest.mark.parametrize(
    ("body", "header_length", "field", "expected"),
    [
        (b"", None, "body", "a JSON object"),
        (b"[]", None, "body", "a JSON object"),
        (b"{}", None, "inputs", "a list of objects"),
        (message(inputs=[1]), None, "inputs", "a list of objects"),
        (message(inputs=[]), None, "inputs", "'input_ids', 'attention_mask'"),
        (message(), "12x", HEADER_LENGTH, "a whole number of bytes"),
        (message(), "-1", HEADER_LENGTH, "a whole number of bytes"),
        (message(), "99999", HEADER_LENGTH, "at most the body's"),
        (message() + b"\0", str(len(message())), "body", "nothing after the last tensor"),
        (message(id=3), None, "id", "a string"),
        (message(parameters=[]), None, "parameters", "an object"),
        (message(parameters={"binary_data_output": 1}), None, "parameters.binary_data_output", "true or false"),
        (message(outputs=[{"name": 1}]), None, "outputs[0].name", "a string"),
        (changed(1, name="attention_maks"), None, "inputs[1].name", "did you mean 'attention_mask'"),
        (changed(1, name="input_ids"), None, "inputs[1].name", "each input once"),
        (changed(0, datatype="INT32"), None, "inputs[0].datatype", "INT64"),
        (changed(0, shape=[1, 5]), None, "inputs[0].shape", "[batch, 4]"),
        (changed(1, shape=[2, 4], data=[0] * 8), None, "inputs[1].shape", "1, as the inputs before it"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(
    body: bytes, header_length: str | None, field: str, expected: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(body, header_length, SPECS)
    assert caught.value.field == field
    assert expected in str(caught.value)


def test_outputs_come_as_each_was_wished_for() -> None:
    wishes = [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]
    request = decode_request(message(outputs=wishes), None, SPECS)
    outputs = {name: np.arange(3, dtype=np.float32) for name in ("a", "b", "c")}
    body, headers = encode_response("m", outputs, request, {})
    header = json.loads(body[: int(headers[HEADER_LENGTH])])
    assert [(item["name"], "data" in item) for item in header["outputs"]] == [("b", False), ("a", True)]


def test_binary_data_output_is_the_default_that_an_output_may_refuse() -> None:
    wishes = [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}]
    request = decode_request(message(outputs=wishes, parameters={"binary_data_output": True}), None, SPECS)
    assert request.binary == {"b"}


def test_an_output_that_the_model_does_not_have_is_named() -> None:
    request = decode_request(message(outputs=[{"name": "logit"}]), None, SPECS)
    with pytest.raises(ProtocolError, match=r"outputs\[0\]\.name.*did you mean 'logits'"):
        check_wishes(request, [Spec("logits", "float32", (1,))])


def test_the_first_binary_tensor_is_aligned_in_the_body() -> None:
    for length in range(20):
        _, headers = encode_request(INPUTS, id="x" * length)
        assert int(headers[HEADER_LENGTH]) % 16 == 0
