"""The child side of the HTTP paths: a session, an app in front of it, and uvicorn around both."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferlab.child import keep_freed_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fastapi import FastAPI

    from inferlab.models.base import Model
    from inferlab.records import Batching
    from inferlab.serve.session import SessionFactory

KEEP_ALIVE_S = 3600
"""Idle connections stay: one that the server closes while a request is on its way would be counted as an error."""


@dataclass(frozen=True)
class Hosted:
    """What a server process is to serve; picklable."""

    session_factory: SessionFactory
    model: Model
    batching: Batching
    max_batch_size: int


def serve_fastapi(connection: Connection, hosted: Hosted) -> None:
    """inferlab's own server: a batcher behind the Open Inference Protocol."""
    keep_freed_memory()
    _run(_serve_batched(connection, hosted))


def serve_fastapi_plain(connection: Connection, hosted: Hosted) -> None:
    """The ordinary handler; it knows no batching, and its memory is the allocator's default as most people have it."""
    _run(_serve_plain(connection, hosted))


def _run(serving: Coroutine[None, None, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


async def _serve_batched(connection: Connection, hosted: Hosted) -> None:
    from inferlab.serve.app import Deployment, create_app
    from inferlab.serve.batcher import Batcher

    batcher = Batcher(hosted.session_factory(), hosted.batching, hosted.max_batch_size)
    batcher.start()
    try:
        app = create_app(Deployment(hosted.model.name, hosted.model.inputs, hosted.model.outputs, batcher))
        gc.collect()
        gc.freeze()  # the model's objects live as long as the process: no collection need look at them
        await _serve(app, connection)
    finally:
        await batcher.close()


async def _serve_plain(connection: Connection, hosted: Hosted) -> None:
    from inferlab.serve.plain_app import create_plain_app

    session = hosted.session_factory()
    try:
        await _serve(create_plain_app(hosted.model, session), connection)
    finally:
        session.close()


async def _serve(app: FastAPI, connection: Connection) -> None:
    """Serve until the pipe is closed; what was accepted is answered first."""
    import uvicorn

    class Server(uvicorn.Server):
        """Tells the parent when it listens, and leaves signals alone: the parent decides."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            connection.send(listener.getsockname()[1])

    # One set-up for every HTTP path, so that they differ by their apps alone.
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = Server(config)

    def end() -> None:
        loop.remove_reader(connection.fileno())
        server.should_exit = True

    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        loop.add_reader(connection.fileno(), end)  # the parent sends nothing more: readable means closed
        await server.serve(sockets=[listener])
