"""Hot paths in uvicorn's protocol: a request that came whole is answered without ASGI's scope, messages and cycle.

These take longer than everything else that the server does for a short request. A request whose body comes in several
reads, or whose connection is to be closed or upgraded, goes through ASGI and is answered by the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from inferlab.serve.bounded_http import BoundedHttp, Connections

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

    from inferlab.serve.answers import Reply
    from inferlab.serve.exchange import Route

CLOSE = (b"connection", b"close")


class HotServer(Protocol):
    """What is asked of the server."""

    connections: Connections

    def route(self, target: str) -> Route | None:
        """The hot path that a request's target names exactly."""

    def refusal(self, route: Route, scope: Scope) -> Reply | None:
        """The answer where it is known before a body was looked at."""

    async def answer(self, route: Route, scope: Scope, receive: Receive) -> Reply:
        """The answer, whatever happens."""


class _NoEvent:
    def set(self) -> None:
        """Nobody waits for more of a request that is whole."""


class _Cycle:
    """What uvicorn's protocol keeps of a request until it is answered, as far as it looks at it."""

    more_body = False
    message_event = _NoEvent()

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    async def receive(self) -> Message:
        """ASGI's, once."""
        return {"type": "http.request", "body": self.body, "more_body": False}


class HotHttp(BoundedHttp):
    """The protocol of a connection to the server."""

    def __init__(self, server: HotServer, **more: Any) -> None:
        super().__init__(connections=server.connections, **more)
        self._server = server
        self._route: Route | None = None
        """Of the message that is being read, while it may still be answered here."""
        self._content = b""
        self._is_refused = False

    def data_received(self, data: bytes) -> None:
        """A read, which may hold the end of one message and the beginning of the next."""
        super().data_received(data)
        if self._route is not None and not self.transport.is_closing():
            # The rest of the body is on its way; the app waits for it no longer than the request's deadline.
            self._route = None
            super().on_headers_complete()
            super().on_body(self._content)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._route = None
        self._is_refused = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """All of the head. Under overload the answer is sent now, and costs a fraction of one through the app."""
        target = self.url.decode("latin-1")
        route = self._server.route(target) if self._is_simple() else None
        if route is None:
            super().on_headers_complete()
            return
        reply = self._server.refusal(route, cast("Scope", self.scope))
        if reply is None:
            self._route = route
            self._content = b""
            self.scope["method"], self.scope["path"] = "POST", target
            return
        self._is_refused = True
        self._write(reply)
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._head_bytes = 0
        if self._route is not None:
            self._content += body
        elif not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        route, self._route = self._route, None
        if route is None and not self._is_refused:
            super().on_message_complete()
            return
        self.end_of_message()
        if route is not None:
            cycle = _Cycle(self._content)
            self.cycle = cast(Any, cycle)
            task = self.loop.create_task(self._exchange(cycle, route, cast("Scope", self.scope)))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _is_simple(self) -> bool:
        """Whether this is a POST that is next to be answered and leaves the connection open."""
        return (
            self.parser.get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        )

    async def _exchange(self, cycle: _Cycle, route: Route, scope: Scope) -> None:
        reply = await self._server.answer(route, scope, cycle.receive)
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if not cycle.disconnected:
            if not cycle.keep_alive and CLOSE not in reply.headers:
                reply.headers.append(CLOSE)
            self._write(reply)
            if CLOSE in reply.headers:
                self.transport.close()
        cycle.response_complete = True
        self.on_response_complete()

    def _write(self, reply: Reply) -> None:
        status, headers, body = reply
        lines = b"".join([b"%s: %s\r\n" % header for header in headers])
        self.transport.write(b"%s%scontent-length: %d\r\n\r\n%s" % (STATUS_LINE[status], lines, len(body), body))
