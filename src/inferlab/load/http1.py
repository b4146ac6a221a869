"""HTTP/1.1 with little between a request and its answer: a connection is a protocol of the event loop and a parser.

aiohttp uses about 0.1 ms of a core for each request: 2 % of the latency of a server of 5 ms, and most of what bounds
how many requests one core sends.
"""

import asyncio
import base64
import ssl
from collections.abc import Sequence
from typing import Any, cast

import httptools
from multidict import CIMultiDict
from yarl import URL

from inferlab.load.block import HttpRequests
from inferlab.load.loops import clock

KEPT_BODY_BYTES = 300
"""Of an answer, for the message of an error."""
CLOSED = "the server closed the connection before its answer was whole"


class Answer:
    """What came of one request; what its header says, names in lower case, of a name that is repeated the first."""

    __slots__ = ("body", "first_byte_s", "headers", "http_status", "keep_alive")

    def __init__(self) -> None:
        self.first_byte_s = float("nan")
        self.http_status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.keep_alive = False


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] | None = None
        self.answer = Answer()
        self.open = True
        """Another request can be sent, for all that is known."""

    async def ask(self, request: bytes, answer: Answer, timeout_s: float) -> None:
        """Send a request and wait for its whole answer, which is written into `answer` as it comes.

        Raises TimeoutError, ConnectionError where the server closes first, httptools.HttpParserError where the answer
        is no HTTP. After an error the connection is of no use.
        """
        if not self.open:  # its end, told once, would not be told again: only the time-out would end the wait
            raise ConnectionResetError(CLOSED)
        self.answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._answered = self._loop.create_future()
        deadline = self._loop.call_later(timeout_s, self._fail, TimeoutError())
        self._transport.write(request)
        try:
            await self._answered
        finally:
            deadline.cancel()

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        if self._answered is None or self._answered.done():
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
        except httptools.HttpParserUpgrade:
            self._fail(httptools.HttpParserError("the server switched to a protocol that nobody asked for"))

    def eof_received(self) -> None:
        """Of asyncio.Protocol. The transport closes itself and calls connection_lost some turns of the loop later."""
        self.open = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol. An answer of unknown length ends here (RFC 9112, 6.3)."""
        self.open = False
        headers = self.answer.headers
        framed = b"content-length" in headers or b"transfer-encoding" in headers
        if exc is None and self.answer.http_status >= 200 and not framed:
            self._finish(keep_alive=False)
        else:
            self._fail(exc or ConnectionResetError(CLOSED))

    def on_message_begin(self) -> None:
        """Of httptools. A second answer to one request must not be written over the first."""
        if self._answered is None or self._answered.done():
            raise httptools.HttpParserError("the server sent more than the answer")
        self.answer.first_byte_s = clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools."""
        self.answer.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Of httptools."""
        self.answer.http_status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Of httptools."""
        if len(self.answer.body) < KEPT_BODY_BYTES:
            self.answer.body += body[: KEPT_BODY_BYTES - len(self.answer.body)]

    def on_message_complete(self) -> None:
        """Of httptools. Interim answers such as 100 Continue are followed by the one that counts."""
        if self.answer.http_status >= 200:
            self._finish(keep_alive=self._parser.should_keep_alive())
        else:
            self.answer.headers.clear()
            self.answer.first_byte_s = float("nan")

    def _finish(self, keep_alive: bool) -> None:
        if self._answered is not None and not self._answered.done():
            self.answer.keep_alive = keep_alive
            self._answered.set_result(None)

    def _fail(self, error: BaseException) -> None:
        self.open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


class Pool:
    """Connections to one server: as many as there are requests under way, each used again."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = URL(url)
        self._host, self._port, self._timeout_s = parts.host, parts.port, timeout_s
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []

    async def ask(self, request: bytes, answer: Answer) -> None:
        """As `Connection.ask`, over any connection that is free or a new one. Raises OSError where none is made."""
        deadline_s = clock() + self._timeout_s
        while self._idle and not self._idle[-1].open:
            self._all.discard(self._idle.pop())
        if self._idle:
            connection = self._idle.pop()
        else:
            async with asyncio.timeout(self._timeout_s):
                loop: Any = asyncio.get_running_loop()
                _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
            self._all.add(connection)
        try:
            await connection.ask(request, answer, deadline_s - clock())
        except BaseException:
            connection.close()
            self._all.discard(connection)
            raise
        if answer.keep_alive and connection.open:
            self._idle.append(connection)
        else:
            connection.close()
            self._all.discard(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            connection.close()


def messages(requests: HttpRequests) -> Sequence[bytes]:
    """The bytes of each request, ready to be sent."""
    url = URL(requests.url)
    headers = CIMultiDict({"Host": url.host_port_subcomponent or ""})
    headers.update(requests.headers)
    if url.user is not None:
        account = f"{url.user}:{url.password or ''}".encode()
        headers.setdefault("Authorization", f"Basic {base64.b64encode(account).decode()}")
    found = []
    for body in requests.bodies:
        length = {"Content-Length": str(len(body))} if body or requests.method == "POST" else {}
        lines = [f"{requests.method} {url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**headers, **length}.items()]
        found.append("\r\n".join([*lines, "", ""]).encode() + body)
    return found
