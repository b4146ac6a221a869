"""A whole server in a thread of the test, with replicas as processes of their own."""

import asyncio
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from inferlab.models.base import Model
from inferlab.serve.access import Access
from inferlab.serve.app import Server
from inferlab.serve.batcher import Batcher
from inferlab.serve.bounded_http import Connections
from inferlab.serve.cache import ResponseCache
from inferlab.serve.deployment import Deployment
from inferlab.serve.layout import Layout
from inferlab.serve.platforms import VertexRoutes
from inferlab.serve.replica import Replica, ReplicaSettings
from inferlab.serve.running import listen, serve_until
from serve.sessions import CORE, NOOP, FakeFactory

BATCH_SIZE = 8


@dataclass
class Endpoint:
    """Where it listens, and how to stop it."""

    port: int
    server: Server
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    drained: list[bool] = field(default_factory=list)

    def begin_to_stop(self) -> None:
        """What SIGTERM does."""
        self.loop.call_soon_threadsafe(self.stop.set)

    def client(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request on a connection of its own: status, headers, body."""
        client = self.client()
        try:
            client.request(method, path, body, dict(headers or {}))
            response = client.getresponse()
            return response.status, response.headers, response.read()  # type: ignore[return-value]
        finally:
            client.close()

    def ask_json(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """As `ask`, JSON both ways."""
        content = None if body is None else json.dumps(body).encode()
        status, _, answer = self.ask(method, path, content, {"Content-Type": "application/json", **(headers or {})})
        return status, json.loads(answer)


def deployment(
    name: str = "noop",
    factory: object = FakeFactory(),
    model: Model = NOOP,
    replicas: int = 1,
    queue_limit: int = 64,
    timeout_s: float = 30.0,
    batch_limit_s: float = 30.0,
    cache: ResponseCache | None = None,
    prepare: Callable[[], None] | None = None,
) -> Deployment:
    """A deployment on the test's core."""
    layout = Layout.of(model.inputs, model.outputs, BATCH_SIZE)
    settings = ReplicaSettings(f"replica of {name}", factory, layout, (CORE,), batch_limit_s)  # type: ignore[arg-type]
    batcher = Batcher([Replica(settings) for _ in range(replicas)], "dynamic", BATCH_SIZE, queue_limit)
    return Deployment(name, model, batcher, "original", "cpu-fake", timeout_s, cache, prepare=prepare)


def metrics(at: Endpoint, headers: Mapping[str, str] | None = None) -> dict[str, float]:
    """What /metrics says, by name and labels."""
    status, answer_headers, body = at.ask("GET", "/metrics", headers=headers)
    assert status == 200
    assert answer_headers["Content-Type"].startswith("text/plain")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return {match[1]: float(match[2]) for line in lines if (match := re.fullmatch(r"(\S+) (\S+)", line))}


@contextmanager
def endpoint(
    *deployments: Deployment,
    token: str | None = None,
    vertex: VertexRoutes | None = None,
    grace_s: float = 10.0,
    linger_s: float = 0.0,
    max_connections: int | None = None,
    await_loaded: bool = True,
) -> Iterator[Endpoint]:
    """Serve until the block ends; `drained` then says whether all that was accepted was answered.

    The block begins when all replicas are loaded, or with `await_loaded` false when the port is bound.
    """
    started = threading.Event()
    found: list[Endpoint] = []
    failed: list[BaseException] = []

    async def main() -> None:
        access = Access(token, frozenset({vertex.health} if vertex else ()))
        server = Server({one.name: one for one in deployments}, access, vertex, Connections(max_connections))
        stop = asyncio.Event()
        with listen("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            found.append(Endpoint(port, server, asyncio.get_running_loop(), stop))
            if not await_loaded:
                started.set()
            drained = await serve_until(server, listener, stop, started.set, grace_s, linger_s)
            found[0].drained.append(drained)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 (the test raises it)
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        if thread.is_alive():
            found[0].begin_to_stop()
        thread.join(60)
    if failed:
        raise failed[0]
