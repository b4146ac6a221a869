"""A server as a process of its own, pinned to its cores, for as long as its parent wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self

from inferlab.child import HANDSHAKE_TIMEOUT_S, Child, stop_all
from inferlab.errors import MeasurementError
from inferlab.load.process import ignore_phase, run_on_child
from inferlab.serve.direct import serve_direct
from inferlab.serve.host import Hosted, Placed, serve_fastapi, serve_fastapi_plain
from inferlab.serve.requests import http_requests

if TYPE_CHECKING:
    import numpy as np

    from inferlab.load.block import Block, BlockResult, HttpRequests, Phase
    from inferlab.models.base import Model
    from inferlab.records import Batching, PlainHandler, ServingPath
    from inferlab.serve.session import SessionFactory

ENTRIES = {"fastapi": serve_fastapi, "fastapi-plain": serve_fastapi_plain, "direct": serve_direct}
STOP_GRACE_S = 10.0


class ServerProcess:
    """A child process that serves one model by one path.

    HTTP paths listen on 127.0.0.1 at a free port; load them with a LoadProcess and `requests`. The path `direct` has no
    port; load it with `run`. A context manager; `start` and `stop` do the same by hand; `spawn` and `await_ready`
    are the two halves of `start`.
    """

    def __init__(
        self,
        kind: ServingPath,
        session_factory: SessionFactory,
        model: Model,
        batching: Batching,
        max_batch_size: int,
        cores: Sequence[int],
        cache_bytes: int = 0,
        handler: PlainHandler = "",
        replicas: Sequence[Placed] = (),
    ) -> None:
        if cache_bytes and kind != "fastapi":
            raise ValueError(f"cache_bytes is {cache_bytes}; on the path {kind} there is no response cache")
        if handler and kind != "fastapi-plain":
            raise ValueError(f"handler is {handler!r}; on the path {kind} there are no variants of it")
        if replicas and kind != "fastapi":
            raise ValueError(f"{len(replicas)} replicas; on the path {kind} there is one session")
        self.kind = kind
        self.model = model
        self.cores = tuple(cores)
        self._hosted = Hosted(
            session_factory, model, batching, max_batch_size, self.cores, cache_bytes, handler, tuple(replicas)
        )
        self._what = f"{kind} server of {model.name}"
        self._child: Child | None = None
        self._ready = False
        self._port: int | None = None

    def start(self) -> Self:
        """`spawn` and `await_ready` in one."""
        self.spawn()
        self.await_ready()
        return self

    def spawn(self) -> None:
        """Start the child and do not wait for it."""
        self._ready = False
        self._child = Child(self._what, ENTRIES[self.kind], (self._hosted,), self.cores)

    def await_ready(self) -> None:
        """Return when the child has loaded its session, listens (on HTTP paths).

        Raises what the child raised, an ArtifactError of its session for instance, and MeasurementError where it died.
        """
        child = self._running()
        try:
            self._port = child.receive(HANDSHAKE_TIMEOUT_S, "starting")
            self._ready = True
        except BaseException:
            self._child = None
            child.stop(grace_s=0)
            raise

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        return self._running().pid

    @property
    def replicas(self) -> int:
        """Sessions that run beside each other."""
        return max(len(self._hosted.replicas), 1)

    @property
    def port(self) -> int:
        """Where it listens. Raises MeasurementError on the path `direct`."""
        self._running()
        if self._port is None:
            raise MeasurementError(f"the {self._what} has no port")
        return self._port

    def requests(self, payloads: Sequence[dict[str, np.ndarray]]) -> HttpRequests:
        """What a load client sends to this server; each payload is the input tensors of one request."""
        return http_requests(self.kind, self.model, self.port, payloads, self._hosted.handler)

    def run(
        self,
        payloads: Sequence[dict[str, np.ndarray]],
        block: Block,
        on_phase: Callable[[Phase], None] = ignore_phase,
    ) -> BlockResult:
        """Path `direct` only: run a block of load inside the server's process.

        As with a LoadProcess, the process is gone after an error or Ctrl-C in the middle of a block.
        """
        child = self._running()
        if self.kind != "direct":
            raise MeasurementError(f"the {self._what} is loaded over HTTP, by a LoadProcess")
        try:
            return run_on_child(child, (tuple(payloads), block), block, on_phase)
        except BaseException:
            self._child = None
            child.stop(grace_s=0)
            raise

    def check(self) -> None:
        """Raise MeasurementError with the exit code or signal where the server has ended."""
        self._running().check()

    def pause(self) -> None:
        """Use no CPU until `resume`; requests wait meanwhile."""
        self._running().pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running().resume()

    def stop(self) -> None:
        """Answer what was accepted, then end. Idempotent."""
        stop_servers([self])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _running(self) -> Child:
        if self._child is None:
            raise MeasurementError(f"the {self._what} is not running")
        return self._child


def stop_servers(servers: Iterable[ServerProcess]) -> None:
    """As `ServerProcess.stop`, for all at once. One that is not ready yet has accepted nothing and ends at once."""
    running = {server: server._child for server in servers if server._child is not None}
    stop_all([child for server, child in running.items() if not server._ready], grace_s=0)
    stop_all([child for server, child in running.items() if server._ready], STOP_GRACE_S)
    for server in running:
        server._child = None
