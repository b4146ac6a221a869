"""Batches in front of a session: work-conserving, without a timer.

An idle session starts at once with what is there; while it is busy, requests collect. One worker thread runs the
session, so the event loop never does. A request costs little: no lock is taken, the worker is woken only where it was
idle, and the event loop once a batch.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from time import monotonic as clock
from typing import NamedTuple

import numpy as np

from inferlab.errors import InferlabError, UserError
from inferlab.records import Batching
from inferlab.serve.session import Session
from inferlab.serve.timings import Timings

Tensors = dict[str, np.ndarray]


class InferenceError(InferlabError):
    """The session failed on a batch; the message has its own words."""


class BatchTooLargeError(UserError):
    """A request has more items than a batch may have."""


class ClosedError(InferlabError):
    """The batcher takes no more requests."""


class Answer(NamedTuple):
    """Output tensors [batch, ...] of one request, and where its time went."""

    outputs: Tensors
    timings: Timings


class _Request(NamedTuple):
    inputs: Tensors
    items: int
    answer: "asyncio.Future[Answer]"
    submitted_s: float


class Batcher:
    """Owns one session and the worker thread that runs it.

    With batching "none" a run serves one request, with "dynamic" as many waiting ones as fit into `max_batch_size`
    items, in the order of arrival. Everything but the worker belongs to the event loop that `start` was called in.
    """

    def __init__(self, session: Session, batching: Batching, max_batch_size: int) -> None:
        if max_batch_size < 1:
            raise UserError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        self.max_batch_size = max_batch_size
        self._session = session
        self._most_requests = max_batch_size if batching == "dynamic" else 1
        self._waiting: deque[_Request] = deque()
        self._idle = False
        self._wake_due = False
        self._wake: SimpleQueue[bool] = SimpleQueue()  # of whether to go on
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Start the worker; call it inside the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    @property
    def accepts(self) -> bool:
        """Whether `submit` takes requests."""
        return not self._closed and self._worker.is_alive()

    def submit(self, inputs: Tensors) -> "asyncio.Future[Answer]":
        """A future of the answer to one request: tensors by name, all with the same first dimension.

        Cancelling it before its batch starts takes the request out of the queue. Raises BatchTooLargeError and
        ClosedError; the future raises InferenceError.
        """
        items = len(next(iter(inputs.values())))
        if items > self.max_batch_size:
            raise BatchTooLargeError(f"the request has {items} items; at most {self.max_batch_size} fit into a batch")
        if self._closed:
            raise ClosedError("the server is shutting down")
        answer = self._loop.create_future()
        self._waiting.append(_Request(inputs, items, answer, clock()))
        if self._idle and not self._wake_due:
            # Not at once: requests that arrive in the same turn of the loop belong into the same batch.
            self._wake_due = True
            self._loop.call_soon(self._wake_worker)
        return answer

    async def close(self) -> None:
        """Take no more requests, answer those that wait, end the worker, close the session. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._wake.put(False)
        await asyncio.to_thread(self._worker.join)
        self._session.close()

    def _wake_worker(self) -> None:
        self._wake_due = False
        if self._idle:
            self._idle = False
            self._wake.put(True)

    def _work(self) -> None:
        go_on = True
        while True:
            batch = self._take()
            if batch:
                self._loop.call_soon_threadsafe(_resolve, *self._run(batch))
                continue
            if not go_on:
                return
            self._idle = True
            if self._waiting:
                # One came after `_take` and before `_idle`, so nobody told of it. Where a later one was told of as
                # well, a wake-up for nothing follows, which does no harm.
                self._idle = False
                continue
            go_on = self._wake.get()
            self._idle = False

    def _take(self) -> list[_Request]:
        batch: list[_Request] = []
        room = self.max_batch_size
        while self._waiting and len(batch) < self._most_requests and self._waiting[0].items <= room:
            request = self._waiting.popleft()
            if not request.answer.cancelled():
                batch.append(request)
                room -= request.items
        return batch

    def _run(self, batch: list[_Request]) -> tuple[list[_Request], "list[Answer] | InferenceError"]:
        taken_s = clock()
        try:
            inputs = _concatenate(batch)
            assembled_s = clock()
            outputs = self._session.run(inputs)
            done_s = clock()
            items = sum(request.items for request in batch)
            parts = _split(outputs, [request.items for request in batch], items)
        except Exception as error:  # noqa: BLE001 (whatever it is, only this batch fails, and each of its requests says so)
            return batch, InferenceError(f"the session failed on a batch of {len(batch)} requests: {error!r}")
        batch_s, infer_s = assembled_s - taken_s, done_s - assembled_s
        return batch, [
            Answer(part, Timings(0.0, taken_s - request.submitted_s, batch_s, infer_s, 0.0, items))
            for request, part in zip(batch, parts, strict=True)
        ]


def _concatenate(batch: Sequence[_Request]) -> Tensors:
    if len(batch) == 1:
        return batch[0].inputs
    return {name: np.concatenate([request.inputs[name] for request in batch]) for name in batch[0].inputs}


def _split(outputs: Tensors, sizes: Sequence[int], items: int) -> list[Tensors]:
    for name, value in outputs.items():
        if len(value) != items:
            raise ValueError(f"output {name!r} has {len(value)} items for a batch of {items}")
    if len(sizes) == 1:
        return [outputs]
    parts: list[Tensors] = []
    start = 0
    for size in sizes:
        end = start + size
        parts.append({name: value[start:end] for name, value in outputs.items()})
        start = end
    return parts


def _resolve(batch: Sequence[_Request], result: Sequence[Answer] | InferenceError) -> None:
    if isinstance(result, InferenceError):
        for request in batch:
            if not request.answer.done():
                # an exception each: raising one adds to its traceback
                request.answer.set_exception(InferenceError(str(result)))
        return
    for request, answer in zip(batch, result, strict=True):
        if not request.answer.done():
            request.answer.set_result(answer)
