"""A session in a process of its own: fed through shared memory, watched, and replaced when it fails.

A batch costs one short message each way. Its tensors are copied once into the memory, where the session reads them, and
once out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import select
import struct
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic as clock
from typing import TYPE_CHECKING

import numpy as np

from inferlab.child import HANDSHAKE_TIMEOUT_S, Child, keep_freed_memory, stop_all
from inferlab.errors import InferlabError, MeasurementError
from inferlab.serve.runner import InferenceError, Listener, Ran, ReplicaLostError, Runner, parts_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from inferlab.serve.layout import Layout
    from inferlab.serve.session import Session, SessionFactory
    from inferlab.serve.tensors import Tensors

ORDER = struct.Struct("<I")
"""To the replica: run so many items."""
REPORT = struct.Struct("<dI")
"""From the replica: seconds in the session, and 0, or how many bytes of a traceback follow. Both go through
the child's pipe as they are, since multiprocessing's framing costs as much as everything else that a batch does."""
TRACE_BYTES = 8000
"""What is passed on of a session's traceback: its end, where the exception is."""
STOP_GRACE_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Between attempts to replace a replica that does not even start, doubling."""

log = logging.getLogger("inferlab.serve")


@dataclass(frozen=True)
class ReplicaSettings:
    """What a replica runs, and where; `batch_limit_s` is when a batch counts as hung."""

    what: str
    session_factory: SessionFactory
    layout: Layout
    cores: tuple[int, ...]
    batch_limit_s: float
    environment: Mapping[str, str] = field(default_factory=dict)


class Replica(Runner):
    """Owns a child process, and starts another where that one raises, hangs, ends or does not start."""

    def __init__(self, settings: ReplicaSettings) -> None:
        self._settings = settings
        self._memory = settings.layout.create()
        self._inputs, self._outputs = settings.layout.tensors(self._memory)
        self._child: Child | None = None
        self._ended: Child | None = None
        """The process before, until it is surely gone."""
        self._loading = False
        self._sizes: list[int] | None = None
        """Items of each request of the batch that runs."""
        self._begun_s = 0.0
        self._pipe = -1
        self._watch: asyncio.TimerHandle | None = None
        self._failures = 0
        self._greeting: asyncio.Task[None] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._closed = False
        self._started: asyncio.Future[None]
        self._loop: asyncio.AbstractEventLoop
        self._listener: Listener

    @property
    def pid(self) -> int | None:
        """Process id, None while there is no process."""
        return None if self._child is None else self._child.pid

    @property
    def report(self) -> int | None:
        return None if self._child is None else self._pipe

    async def start(self, listener: Listener) -> None:
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._started = self._loop.create_future()
        self._spawn()
        await self._started

    def run(self, requests: Sequence[Tensors], items: int) -> None:
        self._begun_s = clock()
        self._sizes = sizes = [len(next(iter(request.values()))) for request in requests]
        for name, place in self._inputs.items():
            start = 0
            for request, size in zip(requests, sizes, strict=True):
                place[start : start + size] = request[name]
                start += size
        if self._watch is None:
            self._watch = self._loop.call_later(self._settings.batch_limit_s, self._look)
        try:
            os.write(self._pipe, ORDER.pack(items))
        except OSError:
            # Not here: whoever gave the batch expects to be told after this call.
            self._loop.call_soon(self._lost, "ended")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in (self._greeting, self._replacing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._end_old()
        child = self._detach()
        if child is not None:
            # One that loads looks at no pipe, and has nothing to finish.
            await asyncio.to_thread(stop_all, [child], 0.0 if self._loading else STOP_GRACE_S)
        os.close(self._memory)

    def _spawn(self) -> None:
        settings = self._settings
        try:
            self._child = Child(
                settings.what,
                run_batches,
                (settings.session_factory, settings.layout, self._memory),
                settings.cores,
                pass_fds=(self._memory,),
                environment=settings.environment,
            )
        except Exception as error:  # noqa: BLE001 (whatever it is, the next attempt may go well)
            self._replace(ReplicaLostError(f"{settings.what} could not start: {error}"))
            return
        self._loading = True
        self._pipe = self._child.fileno()
        self._loop.add_reader(self._pipe, self._on_message)
        self._watch = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._lost, "did not load in time")

    def _on_message(self) -> None:
        """The child has something to say, or its end of the pipe is closed."""
        if self._loading:
            assert self._child is not None
            self._loop.remove_reader(self._pipe)
            self._greeting = self._loop.create_task(self._greet(self._child))
            return
        try:
            report = os.read(self._pipe, REPORT.size)
            infer_s, length = REPORT.unpack(report)
            trace = os.read(self._pipe, length).decode(errors="replace") if length else ""
        except (OSError, struct.error):  # nothing, or a part, is what is left of a process that has ended
            self._lost("ended")
        else:
            self._on_batch(infer_s, trace)

    async def _greet(self, child: Child) -> None:
        """Learn whether the child has loaded; in a thread, since one that closes its pipe may take long to end."""
        failed: InferlabError | None = None
        try:
            await asyncio.to_thread(child.receive, 0, "loading")
        except InferlabError as error:
            failed = error
        except OSError as error:
            failed = ReplicaLostError(f"{self._settings.what} ended: {error}")
        if child is not self._child:
            return  # it was given up meanwhile
        if failed is not None:
            self._replace(failed)
            return
        self._loading = False
        self._unwatch()
        self._loop.add_reader(self._pipe, self._on_message)
        if not self._started.done():
            self._started.set_result(None)
        self._listener.up(self)

    def _on_batch(self, infer_s: float, trace: str) -> None:
        sizes, self._sizes = self._sizes, None
        assert sizes is not None
        if trace:
            what = self._settings.what
            log.error("%s: the model failed on a batch of %d requests:\n%s", what, len(sizes), trace)
            text = f"{what}: the model failed on the batch of {len(sizes)} requests that this one was in"
            self._replace(InferenceError(text))  # clients get it: the model's own words are for the log
            return
        items = sum(sizes)
        parts = parts_of({name: place[:items].copy() for name, place in self._outputs.items()}, sizes)
        self._failures = 0
        self._listener.ran(self, Ran(parts, clock() - self._begun_s - infer_s, infer_s))

    def _lost(self, how: str) -> None:
        if self._closed or self._replacing is not None:
            return
        self._replace(ReplicaLostError(f"{self._settings.what} {how}"))

    def _replace(self, error: InferlabError) -> None:
        """Tell of the end of this process and start the next, which needs its cores and device to be free."""
        child = self._detach()
        if not self._started.done():
            self._ended = child
            self._replacing = self._loop.create_task(self._give_up(error))
            return
        log.error("%s; it is replaced", error)
        had_batch, self._sizes = self._sizes is not None or isinstance(error, InferenceError), None
        self._ended = child
        self._replacing = self._loop.create_task(self._start_again())
        self._listener.down(self)
        if had_batch:
            self._listener.ran(self, error)

    async def _give_up(self, error: InferlabError) -> None:
        """What never loaded is not worth another try: whoever starts it shall know why."""
        await self._end_old()
        if not self._started.done():
            self._started.set_exception(error)

    async def _end_old(self) -> None:
        if self._ended is not None:
            await asyncio.to_thread(self._ended.kill)
            self._ended = None

    async def _start_again(self) -> None:
        await self._end_old()
        if self._failures:
            await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S))
        self._failures += 1
        self.restarts += 1
        self._replacing = None
        self._spawn()

    def _detach(self) -> Child | None:
        self._unwatch()
        child, self._child = self._child, None
        if child is not None:
            self._loop.remove_reader(child.fileno())
        return child

    def _look(self) -> None:
        """Is the batch that runs too old? One timer looks now and then, where one for each batch would cost more."""
        self._watch = None
        if self._sizes is None:
            return
        left_s = self._begun_s + self._settings.batch_limit_s - clock()
        if left_s <= 0:
            # Timers come before messages where the loop itself was held up: the report may be there.
            told, _, _ = select.select([self._pipe], [], [], 0)
            if told:
                self._on_message()
            else:
                self._lost("hung")
        else:
            self._watch = self._loop.call_later(left_s, self._look)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def run_batches(connection: Connection, session_factory: SessionFactory, layout: Layout, descriptor: int) -> None:
    """The child: load the session, then run what lies in the memory at each message, until the pipe is closed.

    The first batches, of the smallest and then the largest size, are run before it reports: engines prepare in them.
    """
    keep_freed_memory()
    session = session_factory()
    inputs, outputs = layout.tensors(descriptor)
    for items in sorted({1, layout.items}):
        # Zeroes, and not what lies in the memory: that may be the batch which ended the process before this one.
        session.run({name: np.zeros_like(place[:items]) for name, place in inputs.items()})
    gc.collect()
    gc.freeze()  # the model's objects live as long as the process: no collection need look at them
    connection.send(None)
    pipe = connection.fileno()
    while order := os.read(pipe, ORDER.size):
        (items,) = ORDER.unpack(order)
        os.write(pipe, _run_one(session, inputs, outputs, items))


def _run_one(session: Session, inputs: Tensors, outputs: Tensors, items: int) -> bytes:
    """The report of a batch."""
    begun_s = clock()
    try:
        found = session.run({name: place[:items] for name, place in inputs.items()})
        infer_s = clock() - begun_s
        for name, place in outputs.items():
            if found[name].shape != (items, *place.shape[1:]):
                raise MeasurementError(f"output {name!r} has shape {found[name].shape} for a batch of {items}")
            place[:items] = found[name]
    except Exception:  # noqa: BLE001 (whatever it is, the server answers it and replaces this process)
        trace = traceback.format_exc().encode(errors="replace")[-TRACE_BYTES:]
        return REPORT.pack(0.0, len(trace)) + trace
    return REPORT.pack(infer_s, 0)
