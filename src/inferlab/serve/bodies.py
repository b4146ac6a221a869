"""Reading a request's body and headers: bounded, and whatever is wrong with them is the client's error."""

from __future__ import annotations

import asyncio
import zlib
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope

    from inferlab.serve.room import Room

WINDOW_BITS = {b"gzip": 31, b"deflate": 15}
"""zlib's name of each Content-Encoding (RFC 9110, 8.4.1)."""
TIMEOUT_HEADER = b"request-timeout-ms"
LONGEST_TIMEOUT_MS = 86_400_000.0


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """The first header of this name, which is in lower case."""
    for name, value in scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int, deadline_s: float, room: Room) -> bytes:
    """The body, unpacked where it is compressed, and read no further than the limit.

    Raises HTTPException 413 beyond it, 408 where it does not come before the deadline, 415 for an encoding that is not
    known, 400 where it does not unpack; QueueFullError where it is not there yet and `room` has none.
    """
    if getattr(getattr(receive, "__self__", None), "more_body", True):
        try:
            with room:
                async with asyncio.timeout(min(deadline_s - clock(), LONGEST_TIMEOUT_MS)):
                    body = await _rest(await receive(), receive, limit_bytes)
        except TimeoutError:
            raise HTTPException(408, "the body did not come before the deadline", {"connection": "close"}) from None
    else:  # uvicorn has it whole, and no timer is needed
        body = (await receive()).get("body", b"")
    if len(body) > limit_bytes:
        raise _too_long(limit_bytes)
    encoding = header(scope, b"content-encoding")
    if encoding is None:
        return body
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return body
    with room:  # however short it is, it may take long to unpack
        return await asyncio.to_thread(_unpacked, body, encoding, limit_bytes)


async def _rest(message: Message, receive: Receive, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the client went away in the middle of its body")
        chunk = message.get("body", b"")
        assert isinstance(chunk, bytes)
        size += len(chunk)
        if size > limit_bytes:
            raise _too_long(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def _unpacked(body: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    if encoding not in WINDOW_BITS:
        known = ", ".join(name.decode() for name in WINDOW_BITS)
        raise HTTPException(415, f"Content-Encoding: {encoding[:40]!r} is not known; expected one of {known}")
    content, rest = b"", body
    while rest or not content:  # gzip may have several members, one after another
        unpacker = zlib.decompressobj(WINDOW_BITS[encoding])
        try:
            content += unpacker.decompress(rest, limit_bytes + 1 - len(content))
        except zlib.error as error:
            raise HTTPException(400, f"body: not {encoding.decode()} ({error})") from None
        if len(content) > limit_bytes:
            raise _too_long(limit_bytes)
        if not unpacker.eof:
            raise HTTPException(400, f"body: its {encoding.decode()} data ends too early")
        rest = unpacker.unused_data
        if not rest:
            break
    return content


def _too_long(limit_bytes: int) -> HTTPException:
    return HTTPException(413, f"the body is longer than {limit_bytes} bytes, the most that this model takes")


def timeout_of(scope: Scope, default_s: float) -> float:
    """How many seconds the answer may take: what Request-Timeout-Ms says, else `default_s`.

    Raises HTTPException 400 where the header is no such time.
    """
    found = header(scope, TIMEOUT_HEADER)
    if found is None:
        return default_s
    try:
        timeout_ms = float(found)
    except ValueError:
        timeout_ms = 0.0
    if not 0 < timeout_ms <= LONGEST_TIMEOUT_MS:
        raise HTTPException(400, f"Request-Timeout-Ms: {found[:40]!r}; expected milliseconds above 0, at most a day")
    return timeout_ms / 1e3


def gone(receive: Receive) -> Callable[[], bool] | None:
    """Asks whether the client of a request has gone, where the server tells: uvicorn's cycle keeps it up to date."""
    cycle: Any = getattr(receive, "__self__", None)
    if not hasattr(cycle, "disconnected"):
        return None
    return lambda: bool(cycle.disconnected)
