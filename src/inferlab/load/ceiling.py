"""What the client itself can do: the same requests to a process that answers at once and does nothing else."""

import asyncio
import dataclasses
import os
import re
from multiprocessing.connection import Connection
from typing import cast

from inferlab.child import HANDSHAKE_TIMEOUT_S, Child
from inferlab.errors import MeasurementError
from inferlab.load.block import Block, ClosedLoad, HttpRequests
from inferlab.load.process import STOP_GRACE_S, LoadProcess

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d+)")
WARMUP_S = 0.5
BLOCK_S = 2.0
TIMEOUT_S = 10.0


def measure_ceiling(client: LoadProcess, requests: HttpRequests, callers: int) -> float:
    """Requests per second that the client sends in a closed loop of `callers` where the server costs next to nothing.

    Over plain HTTP, whatever the URL's scheme. The responder runs on cores that the client does not have; where there
    are none they share one, and the ceiling is too low. Raises MeasurementError where a process fails.
    """
    others = sorted(os.sched_getaffinity(0) - set(client.cores)) or client.cores
    responder = Child("responder", answer_all, (), others)
    try:
        port = responder.receive(HANDSHAKE_TIMEOUT_S, "starting")
        here = dataclasses.replace(requests, url=f"http://127.0.0.1:{port}/")
        result = client.run(here, Block(ClosedLoad(callers), WARMUP_S, BLOCK_S, TIMEOUT_S))
        if result.first_error:
            raise MeasurementError(f"the client's ceiling could not be measured: {result.first_error}")
        return result.throughput_per_s
    finally:
        responder.stop(STOP_GRACE_S)


def answer_all(connection: Connection) -> None:
    """The child: tell the port, and answer every request alike until the pipe is closed."""
    import uvloop

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Responder, "127.0.0.1", 0)
        connection.send(server.sockets[0].getsockname()[1])
        closed = asyncio.Event()
        loop.add_reader(connection.fileno(), closed.set)
        await closed.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


class Responder(asyncio.Protocol):
    """Finds where HTTP/1.1 requests with a Content-Length or without a body end, and reads nothing else of them."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole now."""
        self._received += data
        while (end := _end_of_request(self._received)) is not None:
            del self._received[:end]
            self._transport.write(ANSWER)


def _end_of_request(received: bytearray) -> int | None:
    """Where the first request in these bytes ends; None where it is not whole yet."""
    head = received.find(HEAD_END)
    if head < 0:
        return None
    length = CONTENT_LENGTH.search(received, 0, head)
    end = head + len(HEAD_END) + (int(length[1]) if length else 0)
    return end if len(received) >= end else None
