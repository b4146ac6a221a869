"""An answer in bytes, and every error as one: the protocol's form, a status, and no word of a traceback."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from inferlab.errors import InferlabError, UserError
from inferlab.serve.batcher import ClosedError, DeadlineError, GoneError, QueueFullError
from inferlab.serve.runner import ReplicaLostError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON = (b"content-type", b"application/json")
CACHE_HIT = (b"cache-status", b"inferlab; hit")
"""RFC 9211."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that went away; nobody reads it but the metrics."""
LEAST_RETRY_S = 1
"""Retry-After is in whole seconds (RFC 9110)."""

log = logging.getLogger("inferlab.serve")


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def json_reply(content: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """`content` as JSON; numpy arrays are lists."""
    return Reply(status, [JSON, *headers], orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def error_reply(error: Exception) -> Reply:
    """The error as `{"error": text}`; one that nobody foresaw is logged, and its words are kept from the client."""
    status, text = 500, str(error)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, HTTPException):
        status, text = error.status_code, error.detail
        headers = tuple((name.encode(), value.encode()) for name, value in (error.headers or {}).items())
    elif isinstance(error, UserError):
        status = 400
    elif isinstance(error, QueueFullError):
        status, headers = 503, (_retry_after(error.retry_after_s),)
    elif isinstance(error, ClosedError | ReplicaLostError):
        status, headers = 503, (_retry_after(0),)
    elif isinstance(error, DeadlineError):
        status = 504
    elif isinstance(error, GoneError):
        status = CLIENT_CLOSED_REQUEST
    elif not isinstance(error, InferlabError):
        log.error("unforeseen error in a request", exc_info=error)
        text = "internal error; the server's log has its traceback"
    return json_reply({"error": text}, status, headers)


def _retry_after(wait_s: float) -> tuple[bytes, bytes]:
    return (b"retry-after", b"%d" % max(math.ceil(wait_s), LEAST_RETRY_S))


async def send_reply(send: Send, reply: Reply) -> None:
    """Send it as ASGI messages."""
    status, headers, body = reply
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


class ReplyResponse(Response):
    """A Reply where Starlette wants a response."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.status_code = reply.status
        self.background = None
        self.body = reply.body
        self.raw_headers = reply.headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_reply(send, self.reply)
