"""`POST /predict/{name}`, for people: JSON fields, a text or an uploaded picture in, labels out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from inferlab.serve.answers import json_reply
from inferlab.serve.bodies import header
from inferlab.serve.exchange import Asked, Encode, Route
from inferlab.serve.multipart import only_file
from inferlab.serve.tensors import ProtocolError, shown

if TYPE_CHECKING:
    from starlette.types import Scope

    from inferlab.serve.deployment import Deployment
    from inferlab.serve.tensors import Tensors

LONGEST_IN_LOOP_BYTES = 4096
"""A longer body may take a tokenizer milliseconds, and any picture a decoder, which the event loop must not spend."""


def predict_route(deployment: Deployment) -> Route:
    """How a deployment answers people."""
    decode = partial(predict_asked, deployment, reply_of(deployment))
    return Route(deployment, decode, deployment.model.predict_limit_bytes, loop_bytes_of(deployment))


def loop_bytes_of(deployment: Deployment) -> int:
    """Longer bodies of people are decoded in a thread."""
    return 0 if deployment.model.data_kind == "picture" else LONGEST_IN_LOOP_BYTES


def predict_asked(deployment: Deployment, reply: Encode, scope: Scope, body: bytes) -> Asked:
    """What a body asks for. Raises ProtocolError naming the field, and HTTPException 415."""
    content_type = header(scope, b"content-type") or b""
    return Asked((_decoder(deployment, content_type)(body),), reply)


def reply_of(deployment: Deployment) -> Encode:
    """Makes the answer for people."""
    model = deployment.model
    return lambda answers, parse_s: json_reply(model.predict_answer(answers[0].outputs))


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
