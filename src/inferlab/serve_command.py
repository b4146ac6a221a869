"""`inferlab serve`: deployments on one endpoint until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from inferlab.deploy import DeploymentSpec, build_deployments
from inferlab.errors import UserError
from inferlab.serve.access import Access, read_token
from inferlab.serve.app import Server
from inferlab.serve.bounded_http import SURPLUS_AT_MOST, Connections
from inferlab.serve.platforms import VertexRoutes
from inferlab.serve.running import Tls, listen, serve_until, stop_on_signals

if TYPE_CHECKING:
    import socket

    from inferlab.params import Params

LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen, who may ask and how many at a time, and how long to wait at the end."""

    host: str
    port: int
    grace_s: float
    max_connections: int
    token_file: Path | None
    tls: Tls | None


def serve(specs: Sequence[DeploymentSpec], options: ServeOptions, params: Params, root: Path) -> int:
    """Serve until a signal; returns the exit code: 0 where everything that was accepted was answered.

    Raises UserError and ArtifactError before anything is started.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns with bytes of bodies
    token = read_token(options.token_file)
    vertex = VertexRoutes.of(os.environ)
    deployments = build_deployments(specs, params, root)
    access = Access(token, frozenset({vertex.health} if vertex else ()))
    _allow_files(options.max_connections)
    server = Server(deployments, access, vertex, Connections(options.max_connections))
    host, port = options.host, options.port
    if vertex is not None and vertex.port is not None:
        host, port = "0.0.0.0", vertex.port
    if host not in LOCAL and token is None:
        logging.getLogger("inferlab.serve").warning(
            "%s is reachable from other machines, and no token is asked for", host
        )
    try:
        listener = listen(host, port)
    except OSError as error:
        raise UserError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(_serve(server, listener, options)) else 1


def _allow_files(max_connections: int) -> None:
    """A connection is an open file. Raises UserError where this process may not open so many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and max_connections + SURPLUS_AT_MOST >= most:
        raise UserError(
            f"--max-connections is {max_connections}; expected at most {most - SURPLUS_AT_MOST - 1}, "
            f"since this process may open {most} files (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(server: Server, listener: socket.socket, options: ServeOptions) -> bool:
    stop = asyncio.Event()
    stop_on_signals(asyncio.get_running_loop(), stop, (signal.SIGTERM, signal.SIGINT))
    host, port = listener.getsockname()[:2]
    scheme = "http" if options.tls is None else "https"

    def loaded() -> None:
        gc.collect()
        gc.freeze()  # what is there now lives as long as the process: no collection need look at it
        names = ", ".join(server.deployments)
        print(f"inferlab serves {names} on {scheme}://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    return await serve_until(server, listener, stop, loaded, options.grace_s, tls=options.tls)
