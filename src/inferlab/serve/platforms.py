"""The contracts of SageMaker's and Vertex AI's custom containers, in front of one deployment.

SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
Vertex AI: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from inferlab.errors import UserError
from inferlab.serve.answers import Reply, json_reply
from inferlab.serve.bodies import header
from inferlab.serve.exchange import Asked, Encode, Route
from inferlab.serve.infer import asked_of
from inferlab.serve.openinference import RAW_HEADER_LENGTH, decode_request, read_request
from inferlab.serve.predict import decode_fields, loop_bytes_of, predict_asked, reply_of
from inferlab.serve.tensors import ProtocolError, shown

if TYPE_CHECKING:
    from starlette.types import Scope

    from inferlab.serve.batcher import Answer
    from inferlab.serve.deployment import Deployment

BINARY = re.compile(
    rb"application/vnd\.(?:sagemaker-triton|vertex-ai-triton)\.binary\+json;\s*json-header-size=(\d{1,9})"
)
"""The content type of Triton's containers for binary tensors behind these platforms, which pass on no other header."""


@dataclass(frozen=True)
class VertexRoutes:
    """Where Vertex AI calls, from the environment that it starts the container with."""

    health: str
    predict: str
    port: int | None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> VertexRoutes | None:
        """None outside Vertex AI. Raises UserError naming the variable that is wrong."""
        health, predict = environment.get("AIP_HEALTH_ROUTE"), environment.get("AIP_PREDICT_ROUTE")
        if health is None or predict is None:
            return None
        for name, route in (("AIP_HEALTH_ROUTE", health), ("AIP_PREDICT_ROUTE", predict)):
            if not route.startswith("/"):
                raise UserError(f"{name} is {route!r}; expected a path that begins with /")
        port = environment.get("AIP_HTTP_PORT")
        if port is not None and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise UserError(f"AIP_HTTP_PORT is {port!r}; expected a port from 1 to 65535")
        return cls(health, predict, None if port is None else int(port))


def invocation_route(deployment: Deployment) -> Route:
    """SageMaker's /invocations: a message of the Open Inference Protocol, or whatever /predict/{name} takes."""
    limit_bytes = max(deployment.body_limit_bytes, deployment.model.predict_limit_bytes)
    decode = partial(_invocation, deployment, reply_of(deployment))
    return Route(deployment, decode, limit_bytes, loop_bytes_of(deployment))


def instances_route(deployment: Deployment) -> Route:
    """Vertex AI's predictions: each of the `instances` is what /predict/{name} takes as JSON."""
    limit_bytes = deployment.model.predict_limit_bytes * deployment.batcher.max_batch_size
    return Route(deployment, partial(_instances, deployment), limit_bytes, loop_bytes_of(deployment))


def _invocation(deployment: Deployment, reply: Encode, scope: Scope, body: bytes) -> Asked:
    content_type = header(scope, b"content-type") or b""
    length = header(scope, RAW_HEADER_LENGTH)
    binary = BINARY.fullmatch(content_type)
    if binary is not None or length is not None:
        text = (binary[1] if binary is not None else length or b"").decode("latin-1")
        return asked_of(deployment, decode_request(body, text, deployment.model.inputs))
    if not content_type.startswith(b"application/json"):
        return predict_asked(deployment, reply, scope, body)
    content = _json(body, "a message of the Open Inference Protocol, or what /predict takes")
    if isinstance(content, dict) and "inputs" in content:
        return asked_of(deployment, read_request(content, memoryview(b""), deployment.model.inputs))
    return Asked((decode_fields(deployment, content),), reply)


def _instances(deployment: Deployment, scope: Scope, body: bytes) -> Asked:
    content = _json(body, "a JSON object with instances")
    rows = content.get("instances") if isinstance(content, dict) else None
    most = deployment.batcher.max_batch_size
    if not isinstance(rows, list) or not 1 <= len(rows) <= most:
        raise ProtocolError("instances", shown(rows), f"a list of 1 to {most} objects")
    return Asked([decode_fields(deployment, row) for row in rows], partial(_predictions, deployment))


def _predictions(deployment: Deployment, answers: list[Answer], parse_s: float) -> Reply:
    predictions = [deployment.model.predict_answer(answer.outputs) for answer in answers]
    return json_reply({"predictions": predictions, "deployedModelId": deployment.name})


def _json(body: bytes, expected: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("body", f"not JSON ({error})", expected) from None
