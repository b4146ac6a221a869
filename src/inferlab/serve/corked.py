"""The head of an answer goes out with its body: one system call and one packet for both.

ASGI has servers wait with the head for the body; uvicorn sends each as it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class Corked:
    """A transport that holds back the first write after `cork`, until the next one or its end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._corked = False
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def cork(self) -> None:
        """What is written next is the head of an answer, and its body follows at once."""
        self._corked = True

    def write(self, data: bytes) -> None:
        """As a transport's, with what was held back in front."""
        if self._corked:
            self._corked = False
            self._held = data
        elif self._held:
            whole, self._held = self._held + data, b""
            self._transport.write(whole)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """As a transport's; what was held back still goes out."""
        if self._held:
            self.write(b"")
        self._transport.close()
