"""uvicorn's HTTP protocol with a bound on what a client may send beside bodies.

httptools keeps a header until it is whole, and uvicorn keeps every header and trailer of a message. Bodies are bounded
by whoever reads them.
"""

from __future__ import annotations

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers, or trailers; more than servers in common use take."""
TOO_LARGE = f"the head of the request is longer than {MAX_HEAD_BYTES} bytes"


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
            self._refuse(b"431 Request Header Fields Too Large", TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the protocol's error form."""
        self._refuse(b"400 Bad Request", msg)

    def _refuse(self, status: bytes, text: str) -> None:
        body = orjson.dumps({"error": text})
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)
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
