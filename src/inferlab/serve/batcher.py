"""Batches in front of one or more runners: work-conserving, without a timer.

An idle runner starts at once with what is there; while all are busy, requests collect. Everything here belongs to the
event loop, which only hands batches over: runners run them elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING, NamedTuple

from inferlab.errors import InferlabError, UserError
from inferlab.serve.runner import Ran, Runner
from inferlab.serve.timings import Timings

if TYPE_CHECKING:
    from inferlab.records import Batching
    from inferlab.serve.tensors import Tensors

FOREVER = float("inf")
SHARE_OF_LAST = 0.2
"""Weight of the last batch in the running mean of the time that batches take."""


class BatchTooLargeError(UserError):
    """A request has more items than a batch may have."""


class ClosedError(InferlabError):
    """The batcher takes no requests: not yet, or not any more."""


class QueueFullError(InferlabError):
    """As many items or bodies wait as may; `retry_after_s` is when to try again."""

    def __init__(self, full: str, retry_after_s: float) -> None:
        super().__init__(f"{full}; try again in {retry_after_s:.3g} s")
        self.retry_after_s = retry_after_s


class DeadlineError(InferlabError):
    """The deadline of a request would pass before its answer; it did not reach the model."""


class GoneError(InferlabError):
    """Whoever sent the request has gone; it did not reach the model."""


class Answer(NamedTuple):
    """Output tensors [batch, ...] of one request, and where its time went."""

    outputs: Tensors
    timings: Timings


@dataclass(slots=True)
class _Request:
    inputs: Tensors
    items: int
    answer: asyncio.Future[Answer]
    submitted_s: float
    deadline_s: float
    gone: Callable[[], bool] | None


class Batcher:
    """Owns runners and the queue that they are fed from.

    With batching "none" a run serves one request, with "dynamic" as many waiting ones as fit into `max_batch_size`
    items, in the order of arrival; where several runners are idle they share what waits. At most `queue_limit` items
    wait.
    """

    def __init__(
        self, runners: Sequence[Runner], batching: Batching, max_batch_size: int, queue_limit: int | None = None
    ) -> None:
        if max_batch_size < 1:
            raise UserError(f"max_batch_size is {max_batch_size}; it must be at least 1")
        self.max_batch_size = max_batch_size
        self.queue_limit = queue_limit
        self._runners = tuple(runners)
        self._one_by_one = batching == "none"
        self._waiting: deque[_Request] = deque()
        self._waiting_items = 0
        self._running: dict[Runner, tuple[list[_Request], float]] = {}
        """The batch of each busy runner, and when it was taken."""
        self._up: set[Runner] = set()
        self._idle: deque[Runner] = deque()
        self._dispatch_due = False
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._watched_s = FOREVER
        """When the timer looks at the queue."""
        self._batch_s = 0.0
        self._open = False
        """From when the first runner is up until the batcher drains or closes."""
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Start the runners in the event loop that will submit; all are up when this returns.

        Raises what a runner raises that cannot start.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(runner.start(self) for runner in self._runners))

    @property
    def accepts(self) -> bool:
        """Whether `submit` takes requests and a runner is up to run them."""
        return self._open and bool(self._up)

    @property
    def waiting(self) -> int:
        """Items that wait for a runner."""
        return self._waiting_items

    @property
    def running(self) -> int:
        """Requests that are being run."""
        return sum(len(batch) for batch, _ in self._running.values())

    @property
    def runners_up(self) -> int:
        """Runners that are loaded and not being replaced."""
        return len(self._up)

    @property
    def restarts(self) -> int:
        """How often a runner was replaced."""
        return sum(runner.restarts for runner in self._runners)

    @property
    def retry_after_s(self) -> float:
        """How long what waits now will take, from what batches took so far."""
        batches = -(-self._waiting_items // (1 if self._one_by_one else self.max_batch_size))
        return batches * self._batch_s / max(len(self._up), 1)

    def admit(self, items: int = 1) -> None:
        """Raise ClosedError or QueueFullError where requests of so many items would not be taken."""
        if not self._open:
            raise ClosedError("the server is shutting down" if self._closed else "the model is being loaded")
        # An empty queue takes any request that a batch takes, however low the limit.
        if self.queue_limit is not None and self._waiting_items and self._waiting_items + items > self.queue_limit:
            raise QueueFullError(f"{self._waiting_items} items wait already", self.retry_after_s)

    def submit(
        self, inputs: Tensors, deadline_s: float = FOREVER, gone: Callable[[], bool] | None = None
    ) -> asyncio.Future[Answer]:
        """A future of the answer to one request: tensors by name, all with the same first dimension.

        `deadline_s` is on time.monotonic; `gone` is asked before the request is run. Cancelling the future before its
        batch starts takes the request out of the queue. Raises BatchTooLargeError, ClosedError, QueueFullError and
        DeadlineError; the future raises DeadlineError, GoneError, InferenceError and ReplicaLostError.
        """
        items = len(next(iter(inputs.values())))
        if items > self.max_batch_size:
            raise BatchTooLargeError(f"the request has {items} items; at most {self.max_batch_size} fit into a batch")
        self.admit(items)
        now_s = clock()
        if deadline_s <= now_s:
            raise DeadlineError("the deadline has passed")
        answer = self._loop.create_future()
        self._waiting.append(_Request(inputs, items, answer, now_s, deadline_s, gone))
        self._waiting_items += items
        if self._idle and not self._dispatch_due:
            # Not at once: requests that arrive in the same turn of the loop belong into the same batch.
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch)
        if deadline_s != FOREVER:
            self._watch(deadline_s)
        return answer

    async def drain(self) -> None:
        """Take no more requests and return when all that were accepted are answered. Idempotent."""
        self._open, self._closed = False, True
        while self._waiting or self._running:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def close(self) -> None:
        """End the runners; what is not answered by then fails with ClosedError. Idempotent."""
        self._open, self._closed = False, True
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        await asyncio.gather(*(runner.close() for runner in self._runners))
        left = [*self._waiting, *(request for batch, _ in self._running.values() for request in batch)]
        self._waiting.clear()
        self._running.clear()
        self._waiting_items = 0
        for request in left:
            _fail(request, ClosedError("the server was shut down before it answered"))

    def up(self, runner: Runner) -> None:
        """A runner can take a batch (runner.Listener)."""
        self._open = not self._closed
        self._up.add(runner)
        self._idle.append(runner)
        self._dispatch()

    def down(self, runner: Runner) -> None:
        """A runner is being replaced (runner.Listener)."""
        self._up.discard(runner)
        if runner in self._idle:
            self._idle.remove(runner)

    def ran(self, runner: Runner, result: Ran | InferlabError) -> None:
        """A batch is over (runner.Listener)."""
        batch, taken_s = self._running.pop(runner)
        if isinstance(result, Ran):
            self._idle.append(runner)
            # The next batch first, so that the runner is busy while these answers are made.
            self._dispatch()
            self._note_batch_s(result)
            items = sum(request.items for request in batch)
            for request, outputs in zip(batch, result.outputs, strict=True):
                if not request.answer.done():
                    queue_s = taken_s - request.submitted_s
                    timings = Timings(0.0, queue_s, result.batch_s, result.infer_s, 0.0, items)
                    request.answer.set_result(Answer(outputs, timings))
        else:
            for request in batch:
                _fail(request, type(result)(str(result)))  # one each: raising an exception adds to its traceback
        self._tell_if_drained()

    def _dispatch(self) -> None:
        """Give what waits to who is idle."""
        self._dispatch_due = False
        while self._waiting and self._idle:
            batch = self._take()
            if not batch:
                continue  # nobody waits for any of these any more
            runner = self._idle.popleft()
            self._running[runner] = (batch, clock())
            runner.run([request.inputs for request in batch], sum(request.items for request in batch))
        if not self._waiting:
            self._tell_if_drained()

    def _take(self) -> list[_Request]:
        """The next batch: what waits, shared among the idle runners, without what nobody waits for any more."""
        room = -(-self._waiting_items // len(self._idle))
        room = min(max(room, self._waiting[0].items), self.max_batch_size)
        batch: list[_Request] = []
        now_s = clock()
        while self._waiting and self._waiting[0].items <= room:
            request = self._waiting.popleft()
            self._waiting_items -= request.items
            if request.answer.done():
                continue
            if request.deadline_s < now_s + self._batch_s:
                _fail(request, DeadlineError("the deadline would pass before the answer"))
                self._batch_s *= 1 - SHARE_OF_LAST  # else nothing corrects it where all are refused
            elif request.gone is not None and request.gone():
                _fail(request, GoneError("the client has gone"))
            else:
                batch.append(request)
                room -= request.items
                if self._one_by_one:
                    break
        return batch

    def _note_batch_s(self, result: Ran) -> None:
        took_s = result.batch_s + result.infer_s
        self._batch_s += SHARE_OF_LAST * (took_s - self._batch_s) if self._batch_s else took_s

    def _watch(self, deadline_s: float) -> None:
        """Look at the queue when the deadline passes; one timer, for the earliest."""
        if self._deadline_timer is not None:
            if self._watched_s <= deadline_s:
                return
            self._deadline_timer.cancel()
        self._watched_s = deadline_s
        self._deadline_timer = self._loop.call_at(deadline_s, self._expire)

    def _expire(self) -> None:
        """Answer waiting requests whose deadline has passed, and take them and cancelled ones out of the queue."""
        self._deadline_timer = None
        now_s = clock()
        for request in self._waiting:
            if request.deadline_s <= now_s:
                _fail(request, DeadlineError("the deadline has passed"))
        self._waiting = deque(request for request in self._waiting if not request.answer.done())
        self._waiting_items = sum(request.items for request in self._waiting)
        earliest_s = min((request.deadline_s for request in self._waiting), default=FOREVER)
        if earliest_s != FOREVER:
            self._watch(earliest_s)
        self._tell_if_drained()

    def _tell_if_drained(self) -> None:
        if self._drained is not None and not self._waiting and not self._running:
            self._drained.set_result(None)
            self._drained = None


def _fail(request: _Request, error: InferlabError) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
