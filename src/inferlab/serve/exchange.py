"""A request of a hot path, from its body to its answer: read, decoded, run, encoded and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING, NamedTuple

from inferlab.serve.answers import CACHE_HIT, Reply
from inferlab.serve.batcher import Answer, DeadlineError
from inferlab.serve.bodies import gone, read_body, timeout_of
from inferlab.serve.timings import Timings, server_timing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from inferlab.serve.deployment import Deployment
    from inferlab.serve.tensors import Tensors


Encode = Callable[[list[Answer], float], Reply]
"""A reply, of the answers to a body's inputs in their order and of the seconds that parsing took."""


class Asked(NamedTuple):
    """What a body asks for."""

    inputs: Sequence[Tensors]
    """At least one; each is run for itself."""
    encode: Encode
    timeout_s: float | None = None
    """From when the request came; the header may ask for an earlier end."""


@dataclass(frozen=True)
class Route:
    """How one path of a deployment reads its bodies.

    `decode` raises what answers.error_reply makes an answer of. Bodies of more than `loop_bytes` are decoded in a
    thread where `heavy` says so: the event loop has no milliseconds to spend.
    """

    deployment: Deployment
    decode: Callable[[Scope, bytes], Asked]
    limit_bytes: int
    loop_bytes: int
    heavy: Callable[[Scope, bytes], bool] = lambda scope, body: True


def admit(route: Route, scope: Scope, came_s: float) -> float:
    """The seconds that a request has from `came_s` on, on time.monotonic; its head says how many.

    Raises HTTPException 400 where that does not say, and ClosedError and QueueFullError where no request of so many
    would be taken.
    """
    deployment = route.deployment
    timeout_s = timeout_of(scope, deployment.timeout_s)
    deployment.batcher.admit(1, timeout_s - (clock() - came_s))
    return timeout_s


async def exchange(route: Route, scope: Scope, receive: Receive, came_s: float) -> Reply:
    """The answer with 200; deadlines count from `came_s`. Raises what answers.error_reply makes an answer of."""
    deployment = route.deployment
    deadline_s = came_s + admit(route, scope, came_s)
    body = await read_body(scope, receive, route.limit_bytes, deadline_s, deployment.room)
    read_s = clock()
    if len(body) > route.loop_bytes and route.heavy(scope, body):
        with deployment.room:
            asked = await asyncio.to_thread(_in_time, route, scope, body, deadline_s)
    else:
        asked = route.decode(scope, body)
    if asked.timeout_s is not None:
        deadline_s = min(deadline_s, came_s + asked.timeout_s)
    parse_s = clock() - read_s
    if len(asked.inputs) == 1:
        answers = [await deployment.answer(asked.inputs[0], deadline_s, gone(receive))]
        timings = answers[0].timings
    else:
        answers = await _all(deployment, asked.inputs, deadline_s, gone(receive))
        timings = max((answer.timings for answer in answers), key=_run_s)  # what the request waited for
    answered_s = clock()
    reply = asked.encode(answers, parse_s)
    _, queue_s, batch_s, infer_s, _, batch_size = timings
    timings = Timings(parse_s, queue_s, batch_s, infer_s, clock() - answered_s, batch_size)
    reply.headers.append((b"server-timing", server_timing(timings)))
    if timings.cached:
        reply.headers.append(CACHE_HIT)
    deployment.meter.answered(timings)
    return reply


def _in_time(route: Route, scope: Scope, body: bytes, deadline_s: float) -> Asked:
    """Many bodies may have waited for a thread."""
    if clock() >= deadline_s:
        raise DeadlineError("the deadline has passed")
    return route.decode(scope, body)


async def _all(
    deployment: Deployment, rows: Sequence[Tensors], deadline_s: float, gone: Callable[[], bool] | None
) -> list[Answer]:
    """The answers to all rows. Raises what the first one raises that fails, once all are over."""

    async def one(inputs: Tensors) -> Answer:
        return await deployment.answer(inputs, deadline_s, gone, admitted=True)

    deployment.batcher.admit(len(rows), deadline_s - clock())  # all or none
    found = await asyncio.gather(*map(one, rows), return_exceptions=True)
    answers: list[Answer] = []
    for answer in found:
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers


def _run_s(timings: Timings) -> float:
    return timings.queue_s + timings.batch_s + timings.infer_s
