"""`POST /predict/{name}`, for people: JSON fields, a text or an uploaded picture in, labels out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from inferlab.serve.answers import CACHE_HIT, Reply, json_reply
from inferlab.serve.batcher import DeadlineError
from inferlab.serve.bodies import deadline_of, gone, header, read_body
from inferlab.serve.multipart import only_file
from inferlab.serve.tensors import ProtocolError, shown
from inferlab.serve.timings import server_timing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from inferlab.serve.deployment import Deployment
    from inferlab.serve.tensors import Tensors

LONGEST_IN_LOOP_BYTES = 4096
"""A longer body may take a tokenizer milliseconds, and any picture a decoder, which the event loop must not spend."""


async def predict(deployment: Deployment, scope: Scope, receive: Receive) -> Reply:
    """The answer with 200. Raises what answers.error_reply makes an answer of."""
    deployment.batcher.admit()
    deadline_s = deadline_of(scope, deployment.timeout_s)
    limit_bytes = deployment.model.predict_limit_bytes
    body = await read_body(scope, receive, limit_bytes, deadline_s, deployment.room)
    return await predict_body(deployment, body, header(scope, b"content-type") or b"", deadline_s, receive)


async def predict_body(
    deployment: Deployment, body: bytes, content_type: bytes, deadline_s: float, receive: Receive
) -> Reply:
    """As `predict`, for a body that was read."""
    started_s = clock()
    decode = _decoder(deployment, content_type)
    if len(body) > LONGEST_IN_LOOP_BYTES or deployment.model.data_kind == "picture":
        with deployment.room:
            inputs = await asyncio.to_thread(_in_time, decode, body, deadline_s)
    else:
        inputs = decode(body)
    parsed_s = clock()
    answer = await deployment.answer(inputs, deadline_s, gone(receive))
    answered_s = clock()
    reply = json_reply(deployment.model.predict_answer(answer.outputs))
    timings = answer.timings._replace(parse_s=parsed_s - started_s, serialize_s=clock() - answered_s)
    reply.headers.append((b"server-timing", server_timing(timings)))
    if answer.cached:
        reply.headers.append(CACHE_HIT)
    deployment.meter.answered(timings)
    return reply


def _in_time(decode: Callable[[bytes], Tensors], body: bytes, deadline_s: float) -> Tensors:
    """Many bodies may have waited for a thread."""
    if clock() >= deadline_s:
        raise DeadlineError("the deadline has passed")
    return decode(body)


def _decoder(deployment: Deployment, content_type: bytes) -> Callable[[bytes], Tensors]:
    """What makes inputs of a body of this type. Raises HTTPException 415."""
    kind, _, _ = content_type.partition(b";")
    kind = kind.strip().lower()
    if kind in (b"", b"application/json", b"text/json", b"application/x-www-form-urlencoded"):
        # What curl and hey call a form where nobody says otherwise is JSON here.
        return lambda body: decode_json(deployment, body)
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return lambda body: _checked(deployment.model.predict_file, body)
    if kind == b"text/plain":
        return lambda body: decode_fields(deployment, {"text": _text(body)})
    if kind == b"multipart/form-data":
        return lambda body: _checked(deployment.model.predict_file, only_file(body, content_type))
    raise HTTPException(
        415,
        f"Content-Type: {kind[:60].decode('latin-1')!r}; expected application/json, text/plain, image/*, "
        "application/octet-stream or multipart/form-data",
    )


def decode_json(deployment: Deployment, body: bytes) -> Tensors:
    """Inputs of the model's JSON body. Raises ProtocolError naming the field."""
    return _decoded(deployment, lambda kind: kind.model_validate_json(body, strict=True))


def decode_fields(deployment: Deployment, fields: object) -> Tensors:
    """Inputs of the fields of a body that was read already. Raises ProtocolError naming the field."""
    return _decoded(deployment, lambda kind: kind.model_validate(fields, strict=True))


def _decoded(deployment: Deployment, validate: Callable[[type[BaseModel]], BaseModel]) -> Tensors:
    try:
        body = validate(deployment.model.predict_body())
    except ValidationError as error:
        raise _explained(error) from None
    return _checked(deployment.model.predict_decode, body)


def _checked(decode: Callable[[Any], Tensors], content: Any) -> Tensors:
    try:
        return decode(content)
    except ValueError as error:
        field, _, text = str(error).partition(": ")
        raise ProtocolError(field, text or str(error), "what the description of this path says (/docs)") from None


def _explained(error: ValidationError) -> ProtocolError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return ProtocolError(where, shown(first.get("input")), first["msg"].removeprefix("Value error, "))


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("body", str(error), "text in UTF-8") from None
