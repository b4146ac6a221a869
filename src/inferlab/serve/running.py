"""Running the app under uvicorn: until a signal or a closed pipe, and then until what was accepted is answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

import uvicorn

from inferlab.errors import InferlabError, UserError
from inferlab.serve.hot_http import HotHttp

if TYPE_CHECKING:
    from inferlab.serve.app import Server
    from inferlab.serve.bounded_http import BoundedHttp
    from inferlab.serve.deployment import Deployment

KEEP_ALIVE_S = 3600
"""Idle connections stay: one that the server closes while a request is on its way would be counted as an error."""
LINGER_S = 0.5
"""How long a draining server goes on answering 503, so that clients with open connections hear of it."""
BACKLOG = 2048

log = logging.getLogger("inferlab.serve")


@dataclass(frozen=True)
class Tls:
    """Files as uvicorn takes them."""

    certificate: str
    key: str


class Uvicorn(uvicorn.Server):
    """Tells when it listens, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


def uvicorn_config(app: Any, protocol: Callable[..., BoundedHttp], tls: Tls | None = None) -> uvicorn.Config:
    """One set-up for every HTTP path; `protocol` makes that of a connection."""
    return uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


async def serve_until(
    server: Server,
    listener: socket.socket,
    stop: asyncio.Event,
    loaded: Callable[[], None],
    grace_s: float,
    linger_s: float = LINGER_S,
    tls: Tls | None = None,
) -> bool:
    """Load every replica, then serve until `stop` is set; then answer what was accepted, and others with 503.

    The server answers from the beginning; what asks a model that is not loaded gets 503. `loaded` is called when all
    are. Returns whether all that was accepted was answered within `grace_s`. Raises what a replica raises that does
    not load.
    """
    config = uvicorn_config(server, partial(HotHttp, server), tls)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"TLS files {tls} cannot be used: {error}") from None
    batchers = [deployment.batcher for deployment in server.deployments.values()]
    http = Uvicorn(config, lambda: None)
    stopping = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    try:
        ready = await _load(list(server.deployments.values()), serving, stopping)
        if ready:
            loaded()
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        server.draining = True
        begun_s = clock()
        draining = asyncio.gather(*(batcher.drain() for batcher in batchers))
        await asyncio.wait([draining], timeout=grace_s)
        drained = draining.done()
        if ready:
            await asyncio.sleep(max(min(linger_s, grace_s) - (clock() - begun_s), 0))
        if not drained:
            # What is left gets its 503 now.
            await asyncio.gather(*(batcher.close() for batcher in batchers))
        # uvicorn waits for answers, of which one to a body that does not come would take for ever.
        config.timeout_graceful_shutdown = max(math.ceil(grace_s - (clock() - begun_s)), 1)
        return drained
    finally:
        stopping.cancel()
        http.should_exit = True
        if config.timeout_graceful_shutdown is None:
            config.timeout_graceful_shutdown = 1
        await asyncio.gather(*(batcher.close() for batcher in batchers))
        await serving


async def _load(deployments: Sequence[Deployment], *ends: asyncio.Task[Any]) -> bool:
    """Whether all replicas were loaded before one of `ends` was over. Raises what a replica raises."""
    # One after another: deployments of one model share what is prepared.
    await asyncio.to_thread(_prepare, deployments)
    starting: asyncio.Future[Any] = asyncio.gather(*(deployment.batcher.start() for deployment in deployments))
    await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return False
    await starting
    return True


def _prepare(deployments: Sequence[Deployment]) -> None:
    for deployment in deployments:
        if deployment.prepare is not None:
            try:
                deployment.prepare()
            except InferlabError as error:
                # Tensors need nothing of it.
                log.warning("/predict/%s cannot take everything that it describes: %s", deployment.name, error)


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, signals: Sequence[signal.Signals]) -> None:
    """Set `stop` at the first of these signals; the second ends the process at once."""

    def handle(number: signal.Signals) -> None:
        if stop.is_set():
            log.error("%s again: ending without waiting for answers", number.name)
            raise SystemExit(1)
        log.warning("%s: finishing accepted requests", number.name)
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, handle, number)
