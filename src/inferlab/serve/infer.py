"""`POST /v2/models/{name}/infer`: the Open Inference Protocol, tensors in and out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inferlab.serve.answers import Reply
from inferlab.serve.bodies import header
from inferlab.serve.exchange import Asked, Route
from inferlab.serve.openinference import (
    RAW_HEADER_LENGTH,
    InferRequest,
    check_wishes,
    decode_request,
    encode_response,
)
from inferlab.serve.tensors import ProtocolError
from inferlab.serve.timings import as_parameters

if TYPE_CHECKING:
    from starlette.types import Scope

    from inferlab.serve.batcher import Answer
    from inferlab.serve.deployment import Deployment

LONGEST_JSON_IN_LOOP_BYTES = 65536
"""What takes about a millisecond to decode where it is numbers; binary tensors take none, however long they are."""


def infer_route(deployment: Deployment) -> Route:
    """How a deployment answers the protocol."""
    decode = partial(_decode, deployment)
    return Route(deployment, decode, deployment.body_limit_bytes, LONGEST_JSON_IN_LOOP_BYTES, _heavy)


def asked_of(deployment: Deployment, request: InferRequest) -> Asked:
    """What a request asks of a deployment. Raises ProtocolError where that is not to be had."""
    check_wishes(request, deployment.model.outputs)
    try:
        deployment.model.check_inputs(request.inputs)
    except ValueError as error:
        raise ProtocolError("inputs", str(error), "values that the model was made for") from None
    return Asked((request.inputs,), partial(_encode, deployment.name, request), request.timeout_s)


def _decode(deployment: Deployment, scope: Scope, body: bytes) -> Asked:
    length = header(scope, RAW_HEADER_LENGTH)
    text = None if length is None else length.decode("latin-1")
    return asked_of(deployment, decode_request(body, text, deployment.model.inputs))


def _heavy(scope: Scope, body: bytes) -> bool:
    length = header(scope, RAW_HEADER_LENGTH)
    return length is None or len(length) > len(str(LONGEST_JSON_IN_LOOP_BYTES))


def _encode(name: str, request: InferRequest, answers: list[Answer], parse_s: float) -> Reply:
    outputs, timings = answers[0]
    parameters = as_parameters(timings, parse_s)
    if timings.cached:
        parameters["cached"] = True
    encoded, headers = encode_response(name, outputs, request, parameters)
    return Reply(200, [(key.lower().encode(), value.encode()) for key, value in headers.items()], encoded)
