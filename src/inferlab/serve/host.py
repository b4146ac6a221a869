"""The child side of the HTTP paths: a session, an app in front of it, and uvicorn around both."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferlab.child import keep_freed_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from inferlab.models.base import Model
    from inferlab.records import Batching, PlainHandler
    from inferlab.serve.session import SessionFactory

STOP_GRACE_S = 5.0
BATCH_LIMIT_S = 120.0
"""A batch that takes longer counts as hung."""


@dataclass(frozen=True)
class Placed:
    """A session on cores of the CPU; `environment` says which of an accelerator it has."""

    session_factory: SessionFactory
    cores: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hosted:
    """What a server process is to serve; picklable.

    `cache_bytes` limits the response cache, 0 is none. `handler` is the variant of the ordinary handler. `replicas` are
    the sessions behind a batcher, each with its own of `cores` or of an accelerator; without any there is one,
    `session_factory`, on all.
    """

    session_factory: SessionFactory
    model: Model
    batching: Batching
    max_batch_size: int
    cores: tuple[int, ...]
    cache_bytes: int = 0
    handler: PlainHandler = ""
    replicas: tuple[Placed, ...] = ()


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
    """Sessions run in processes of their own, on cores of the server's."""
    from inferlab.serve.access import Access
    from inferlab.serve.app import Server
    from inferlab.serve.batcher import Batcher
    from inferlab.serve.cache import ResponseCache
    from inferlab.serve.deployment import Deployment
    from inferlab.serve.layout import Layout
    from inferlab.serve.replica import Replica, ReplicaSettings
    from inferlab.serve.running import listen, serve_until

    model = hosted.model
    largest = 1 if hosted.batching == "none" else hosted.max_batch_size
    layout = Layout.of(model.inputs, model.outputs, largest)
    replicas = [
        Replica(
            ReplicaSettings(
                f"replica of {model.name}", one.session_factory, layout, one.cores, BATCH_LIMIT_S, one.environment
            )
        )
        for one in hosted.replicas or (Placed(hosted.session_factory, hosted.cores),)
    ]
    batcher = Batcher(replicas, hosted.batching, largest)
    cache = ResponseCache(hosted.cache_bytes) if hosted.cache_bytes else None
    server = Server({model.name: Deployment(model.name, model, batcher, cache=cache)}, Access(None))
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

        def listening() -> None:
            gc.collect()
            gc.freeze()  # what is there now lives as long as the process: no collection need look at it
            connection.send(port)

        await serve_until(server, listener, _closed(connection), listening, grace_s=STOP_GRACE_S, linger_s=0)


async def _serve_plain(connection: Connection, hosted: Hosted) -> None:
    from inferlab.serve.bounded_http import Connections
    from inferlab.serve.plain_app import create_plain_app
    from inferlab.serve.running import Uvicorn, listen, uvicorn_config

    session = hosted.session_factory()
    closed = _closed(connection)
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        app = create_plain_app(hosted.model, session, hosted.handler)
        http = Uvicorn(uvicorn_config(app, Connections()), lambda: connection.send(port))
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        try:
            await closed.wait()
        finally:
            http.should_exit = True
            await serving
            session.close()


def _closed(connection: Connection) -> asyncio.Event:
    """Is set when the parent closes the pipe; it sends nothing more, so readable means closed."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        loop.remove_reader(connection.fileno())
        closed.set()

    loop.add_reader(connection.fileno(), end)
    return closed
