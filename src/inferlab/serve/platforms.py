"""The contracts of SageMaker's and Vertex AI's custom containers, in front of one deployment.

SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
Vertex AI: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

import orjson

from inferlab.errors import UserError
from inferlab.serve.answers import Reply, json_reply
from inferlab.serve.bodies import deadline_of, gone, header, read_body
from inferlab.serve.infer import infer_body
from inferlab.serve.openinference import RAW_HEADER_LENGTH
from inferlab.serve.predict import decode_fields, predict_body
from inferlab.serve.tensors import ProtocolError, shown

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

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


async def invocation(deployment: Deployment, scope: Scope, receive: Receive) -> Reply:
    """SageMaker's /invocations: a message of the Open Inference Protocol, or whatever /predict/{name} takes."""
    deployment.batcher.admit()
    deadline_s = deadline_of(scope, deployment.timeout_s)
    limit_bytes = max(deployment.body_limit_bytes, deployment.model.predict_limit_bytes)
    body = await read_body(scope, receive, limit_bytes, deadline_s, deployment.room)
    content_type = header(scope, b"content-type") or b""
    length = header(scope, RAW_HEADER_LENGTH)
    binary = BINARY.fullmatch(content_type)
    if binary is not None or length is not None:
        text = (binary[1] if binary is not None else length or b"").decode("latin-1")
        reply = await infer_body(deployment, body, text, deadline_s, receive)
    elif content_type.startswith(b"application/json") and _is_infer(body):
        reply = await infer_body(deployment, body, None, deadline_s, receive)
    else:
        return await predict_body(deployment, body, content_type, deadline_s, receive)
    return reply


async def instances(deployment: Deployment, scope: Scope, receive: Receive) -> Reply:
    """Vertex AI's predictions: each of the `instances` is what /predict/{name} takes as JSON."""
    deployment.batcher.admit()
    deadline_s = deadline_of(scope, deployment.timeout_s)
    limit_bytes = deployment.model.predict_limit_bytes * deployment.batcher.max_batch_size
    body = await read_body(scope, receive, limit_bytes, deadline_s, deployment.room)
    started_s = clock()
    with deployment.room:
        found = await asyncio.to_thread(_instances, deployment, body)
    parse_s = (clock() - started_s) / len(found)
    deployment.batcher.admit(len(found))  # all or none
    waiting = [deployment.answer(inputs, deadline_s, gone(receive)) for inputs in found]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if failed:
        raise failed[0]
    predictions: list[Any] = []
    for answer in answers:
        assert not isinstance(answer, BaseException)
        answered_s = clock()
        predictions.append(deployment.model.predict_answer(answer.outputs))
        deployment.meter.answered(answer.timings._replace(parse_s=parse_s, serialize_s=clock() - answered_s))
    return json_reply({"predictions": predictions, "deployedModelId": deployment.name})


def _is_infer(body: bytes) -> bool:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(content, dict) and "inputs" in content


def _instances(deployment: Deployment, body: bytes) -> list[Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("body", f"not JSON ({error})", "a JSON object with instances") from None
    rows = content.get("instances") if isinstance(content, dict) else None
    most = deployment.batcher.max_batch_size
    if not isinstance(rows, list) or not 1 <= len(rows) <= most:
        raise ProtocolError("instances", shown(rows), f"a list of 1 to {most} objects")
    return [decode_fields(deployment, row) for row in rows]
