"""uvicorn's HTTP protocol with a bound on what a client may send beside bodies.

httptools keeps a header until it is whole, and uvicorn keeps every header and trailer of a message. Bodies are bounded
by whoever reads them.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers, or trailers; more than servers in common use take."""
REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection on which reads bring neither the end of a message nor any of its body for too long."""

    _in_message = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """A read, which may hold the end of one message and the beginning of the next."""
        in_message = self._in_message
        if in_message:
            self._head_bytes += len(data)
        super().data_received(data)  # a message that begins and any body set the count to 0
        if in_message and self._in_message and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(REFUSAL)
            self.transport.close()

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
        self._in_message = False
        super().on_message_complete()
