"""A request in the Open Inference Protocol, from its body to its answer."""

from __future__ import annotations

from time import monotonic as clock
from typing import TYPE_CHECKING

from inferlab.serve.answers import CACHE_HIT, Reply
from inferlab.serve.bodies import deadline_of, gone, header, read_body
from inferlab.serve.openinference import RAW_HEADER_LENGTH, check_wishes, decode_request, encode_response
from inferlab.serve.tensors import ProtocolError
from inferlab.serve.timings import as_parameters, server_timing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from inferlab.serve.deployment import Deployment


async def infer(deployment: Deployment, scope: Scope, receive: Receive) -> Reply:
    """The answer with 200. Raises what answers.error_reply makes an answer of."""
    deployment.batcher.admit()
    deadline_s = deadline_of(scope, deployment.timeout_s)
    body = await read_body(scope, receive, deployment.body_limit_bytes, deadline_s, deployment.room)
    length = header(scope, RAW_HEADER_LENGTH)
    return await infer_body(deployment, body, None if length is None else length.decode("latin-1"), deadline_s, receive)


async def infer_body(
    deployment: Deployment, body: bytes, header_length: str | None, deadline_s: float, receive: Receive
) -> Reply:
    """As `infer`, for a body that was read; `header_length` is the length of its JSON where tensors follow."""
    started_s = clock()
    request = decode_request(body, header_length, deployment.model.inputs)
    check_wishes(request, deployment.model.outputs)
    try:
        deployment.model.check_inputs(request.inputs)
    except ValueError as error:
        raise ProtocolError("inputs", str(error), "values that the model was made for") from None
    parsed_s = clock()
    answer = await deployment.answer(request.inputs, deadline_s, gone(receive))
    answered_s = clock()
    timings = answer.timings._replace(parse_s=parsed_s - started_s)
    parameters = as_parameters(timings)
    if answer.cached:
        parameters["cached"] = True
    encoded, headers = encode_response(deployment.name, answer.outputs, request, parameters)
    timings = timings._replace(serialize_s=clock() - answered_s)
    raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw_headers.append((b"server-timing", server_timing(timings)))
    if answer.cached:
        raw_headers.append(CACHE_HIT)
    deployment.meter.answered(timings)
    return Reply(200, raw_headers, encoded)
