"""uvicorn's HTTP protocol with bounds on how many connections there are, and on what comes on them beside bodies.

httptools keeps a header until it is whole, and uvicorn keeps every header and trailer of a message. Bodies are bounded
by whoever reads them. uvicorn's own limit_concurrency refuses requests, also those of clients that were there before,
and leaves connections open on which nothing comes.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers, or trailers; more than servers in common use take."""
TOO_LARGE = f"the head of the request is longer than {MAX_HEAD_BYTES} bytes"
SURPLUS_S = 1.0
"""How long a connection beyond the limit may take to send the request that is refused; also its Retry-After."""
SURPLUS_AT_MOST = 64
"""Connections beyond the limit that are told so; those beyond these are closed without a word."""
IDLE_SHARE = 8
"""Where all connections are taken, one in so many of the idle ones is closed, as nginx does with reusable ones."""


class Connections:
    """The connections of a server, of which at most `limit` are open; None for any number."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.open = 0
        self.surplus = 0
        self.refused: Counter[int] = Counter()
        """By HTTP status: connections that were closed before a request of theirs was read."""
        self._next_look_s = 0.0

    def __call__(self, **more: Any) -> BoundedHttp:
        """A connection's protocol; what uvicorn takes for the protocol's class."""
        return BoundedHttp(connections=self, **more)

    @property
    def full(self) -> bool:
        """Whether the next connection is one too many."""
        return self.limit is not None and self.open >= self.limit

    def close_idle(self, connections: Iterable[BoundedHttp], now_s: float) -> None:
        """Close those that were idle for longest and for more than SURPLUS_S; looks no more often than that."""
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + SURPLUS_S
        since_s = {one: one.idle_since_s for one in connections}
        idle = sorted((one for one in since_s if since_s[one] < now_s - SURPLUS_S), key=since_s.__getitem__)
        for one in idle[: -(-len(idle) // IDLE_SHARE)]:
            one.transport.close()

    def refuse(self, transport: asyncio.Transport, status: HTTPStatus, text: str) -> None:
        """Answer in the protocol's error form and close."""
        self.refused[status] += 1
        body = orjson.dumps({"error": text})
        retry = b"retry-after: %d\r\n" % SURPLUS_S if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n%scontent-length: %d\r\nconnection: close\r\n\r\n"
        transport.write(head % (status, status.phrase.encode(), retry, len(body)) + body)
        transport.close()


class Surplus(asyncio.Protocol):
    """A connection beyond the limit: refused when its request comes, and closed where none comes soon."""

    def __init__(self, transport: asyncio.Transport, connections: Connections) -> None:
        self._transport = transport
        self._connections = connections
        connections.surplus += 1
        patience_s = 0.0 if connections.surplus > SURPLUS_AT_MOST else SURPLUS_S
        self._end = asyncio.get_running_loop().call_later(patience_s, self._close)

    def data_received(self, data: bytes) -> None:
        """Some of a request; an answer before it would be taken for that to another."""
        text = f"{self._connections.limit} connections are open already; try again in {SURPLUS_S:g} s"
        self._connections.refuse(self._transport, HTTPStatus.SERVICE_UNAVAILABLE, text)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._end.cancel()
        self._connections.surplus -= 1

    def _close(self) -> None:
        self._connections.refused[HTTPStatus.SERVICE_UNAVAILABLE] += not self._transport.is_closing()
        self._transport.abort()


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection on which reads bring neither the end of a message nor any of its body for too long."""

    _in_message = False
    _head_bytes = 0

    def __init__(self, connections: Connections, **more: Any) -> None:
        super().__init__(**more)
        self._all = connections
        self._made_s = self.loop.time()

    @property
    def idle_since_s(self) -> float:
        """When its last answer was complete, on the loop's clock; infinite while it has a request.

        Before its first request, and while the head of a later one is on its way, that is when it was made.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            return math.inf
        if self.timeout_keep_alive_task is not None:
            return self.timeout_keep_alive_task.when() - self.timeout_keep_alive
        return self._made_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is connected."""
        if self._all.full:
            transport.set_protocol(Surplus(transport, self._all))
            self._all.close_idle(self.connections, self.loop.time())  # type: ignore[arg-type]
            return
        self._all.open += 1
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._all.open -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A read, which may hold the end of one message and the beginning of the next."""
        in_message = self._in_message
        if in_message:
            self._head_bytes += len(data)
        super().data_received(data)  # a message that begins and any body set the count to 0
        if in_message and self._in_message and self._head_bytes > MAX_HEAD_BYTES:
            self._all.refuse(self.transport, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the protocol's error form."""
        self._all.refuse(self.transport, HTTPStatus.BAD_REQUEST, msg)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_message = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self.end_of_message()
        super().on_message_complete()

    def end_of_message(self) -> None:
        """What comes next on the connection is another request."""
        self._in_message = False
