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
from inferlab.serve.forecast import Forecast
from inferlab.serve.runner import Ran, Runner
from inferlab.serve.timings import Timings

if TYPE_CHECKING:
    from inferlab.records import Batching
    from inferlab.serve.tensors import Tensors

FOREVER = float("inf")


class BatchTooLargeError(UserError):
    """A request has more items than a batch may have."""


class ClosedError(InferlabError):
    """The batcher takes no requests: not yet, or not any more."""


class QueueFullError(InferlabError):
    """As much waits as may, or as can be answered before the deadline; `retry_after_s` is when to try again."""

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
    forecast_s: float
    """When it will be answered as far as could be told when it came; 0.0 where nobody asked."""


class _Running(NamedTuple):
    """A batch that a runner has."""

    requests: list[_Request]
    items: int
    taken_s: float


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
        self._largest = 1 if self._one_by_one else max_batch_size
        self._waiting: deque[_Request] = deque()
        self._waiting_items = 0
        self._running: dict[Runner, _Running] = {}
        self._up: set[Runner] = set()
        self._idle: deque[Runner] = deque()
        self._dispatch_due = False
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._watched_s = FOREVER
        """When the timer looks at the queue."""
        self._forecast = Forecast()
        self._longest_wait_s = FOREVER if queue_limit is None else 0.0
        """With a full queue: where deadlines are later, no forecast of a request is needed."""
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
        return sum(len(batch.requests) for batch in self._running.values())

    @property
    def has_idle(self) -> bool:
        """Whether a request that came now would be run at once."""
        return bool(self._idle)

    @property
    def reports(self) -> list[int | None]:
        """Of each busy runner, the descriptor that is readable when its batch is over."""
        return [runner.report for runner in self._running]

    @property
    def runners_up(self) -> int:
        """Runners that are loaded and not being replaced."""
        return len(self._up)

    @property
    def restarts(self) -> int:
        """How often a runner was replaced."""
        return sum(runner.restarts for runner in self._runners)

    def wait_s(self, items: int = 1) -> float:
        """How long until so many items that came now would be answered, as far as batches so far tell.

        Idle runners share what waits; busy ones are given batches of the largest size in turn, as soon as any is free.
        """
        batch_s = self._forecast.batch_s
        together = self._waiting_items + items
        if self._one_by_one:
            ahead, last = len(self._waiting), items
            largest = -(-self._waiting_items // ahead) if ahead else 1
        elif self._idle and together <= len(self._idle) * self._largest:
            return batch_s(-(-together // len(self._idle)))
        else:
            ahead, last, largest = (together - 1) // self._largest, (together - 1) % self._largest + 1, self._largest
        work_s = ahead * batch_s(largest)
        if not self._idle:
            now_s = clock()
            work_s += sum(max(one.taken_s + batch_s(one.items) - now_s, 0.0) for one in self._running.values())
        return work_s / max(len(self._up), 1) + batch_s(last)

    def admit(self, items: int = 1, timeout_s: float = FOREVER) -> None:
        """Raise what `submit` would where requests of so many items and of this timeout would not be taken.

        These are ClosedError and QueueFullError. Where nothing waits, or a runner for each that does and this one is
        idle, requests are taken whatever the forecast is: else nothing would correct it.
        """
        if not self._open:
            raise ClosedError("the server is shutting down" if self._closed else "the model is being loaded")
        if not self._waiting:
            return
        if self.queue_limit is not None and self._waiting_items + items > self.queue_limit:
            raise QueueFullError(f"{self._waiting_items} items wait already", self.wait_s())
        if timeout_s < self._longest_wait_s and len(self._waiting) >= len(self._idle):
            late_s = self.wait_s(items) + self._forecast.allowance_s() - timeout_s
            if late_s > 0:
                waiting = f"{self._waiting_items} items wait already, which take longer than the request's deadline"
                raise QueueFullError(waiting, late_s)

    def submit(
        self,
        inputs: Tensors,
        deadline_s: float = FOREVER,
        gone: Callable[[], bool] | None = None,
        *,
        admitted: bool = False,
    ) -> asyncio.Future[Answer]:
        """A future of the answer to one request: tensors by name, all with the same first dimension.

        `deadline_s` is on time.monotonic; `gone` is asked before the request is run; `admitted` ones were asked for by
        `admit` in this turn of the loop, together with others that shall be taken with them. Cancelling the future
        before its batch starts takes the request out of the queue. Raises BatchTooLargeError, ClosedError,
        QueueFullError and DeadlineError; the future raises DeadlineError, GoneError, InferenceError and
        ReplicaLostError.
        """
        items = len(next(iter(inputs.values())))
        if items > self.max_batch_size:
            raise BatchTooLargeError(f"the request has {items} items; at most {self.max_batch_size} fit into a batch")
        now_s = clock()
        if deadline_s <= now_s:
            raise DeadlineError("the deadline has passed")
        if not admitted:
            self.admit(items, deadline_s - now_s)
        must_wait = not self._idle and deadline_s - now_s < self._longest_wait_s
        forecast_s = now_s + self.wait_s(items) if must_wait else 0.0
        answer = self._loop.create_future()
        self._waiting.append(_Request(inputs, items, answer, now_s, deadline_s, gone, forecast_s))
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
        left = [*self._waiting, *(request for batch in self._running.values() for request in batch.requests)]
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
        batch, items, taken_s = self._running.pop(runner)
        if isinstance(result, Ran):
            self._idle.append(runner)
            # The next batch first, so that the runner is busy while these answers are made.
            self._dispatch()
            self._learn(items, result, batch[0].forecast_s)
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
            items = sum(request.items for request in batch)
            self._running[runner] = _Running(batch, items, clock())
            runner.run([request.inputs for request in batch], items)
        if not self._waiting:
            self._tell_if_drained()

    def _take(self) -> list[_Request]:
        """The next batch: what waits, shared among the idle runners, without what nobody waits for any more."""
        room = -(-self._waiting_items // len(self._idle))
        room = min(max(room, self._waiting[0].items), self.max_batch_size)
        items = max(min(room, self._largest), self._waiting[0].items)
        batch: list[_Request] = []
        refused = False
        # Where others wait for its place, a request that may well be answered too late gives it to one that will not.
        contested = self._waiting_items > items * len(self._idle)
        took_s = self._forecast.surely_s(items) if contested else self._forecast.batch_s(items)
        end_s = clock() + took_s
        while self._waiting and self._waiting[0].items <= room:
            request = self._waiting.popleft()
            self._waiting_items -= request.items
            if request.answer.done():
                continue
            if request.deadline_s < end_s:
                _fail(request, DeadlineError("the deadline would pass before the answer"))
                refused = True
            elif request.gone is not None and request.gone():
                _fail(request, GoneError("the client has gone"))
            else:
                batch.append(request)
                room -= request.items
                if self._one_by_one:
                    break
        if refused and not batch:
            self._forecast.doubt(items)
        return batch

    def _learn(self, items: int, result: Ran, forecast_s: float) -> None:
        """From a batch that is over, and whose first request had this forecast."""
        self._forecast.ran(items, result.batch_s + result.infer_s)
        if forecast_s:
            self._forecast.was_off(clock() - forecast_s)
        if self.queue_limit is not None:
            batches = self.queue_limit / self._largest + 2
            self._longest_wait_s = batches * self._forecast.longest_s() + self._forecast.allowance_s()

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
