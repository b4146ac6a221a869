import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np
import pytest
import uvloop

from inferlab.errors import UserError
from inferlab.records import Batching
from inferlab.serve.batcher import (
    Batcher,
    BatchTooLargeError,
    ClosedError,
    DeadlineError,
    GoneError,
    QueueFullError,
)
from inferlab.serve.in_thread import InThread
from inferlab.serve.runner import InferenceError, Listener, Ran, ReplicaLostError, Runner
from inferlab.serve.tensors import Tensors
from serve.sessions import FakeSession, payload

T = TypeVar("T")


class GatedSession(FakeSession):
    """Runs a batch only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.threads: set[int] = set()

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.threads.add(threading.get_ident())
        self.started.release()
        assert self.gate.acquire(timeout=30)
        return super().run(inputs)

    async def busy(self) -> None:
        """Wait until a batch has started."""
        assert await asyncio.to_thread(self.started.acquire, timeout=30)


def run(
    session: FakeSession, use: Callable[[Batcher], Awaitable[T]], batching: Batching = "dynamic", most: int = 8
) -> T:
    async def main() -> T:
        batcher = Batcher([InThread(session)], batching, most)
        await batcher.start()
        try:
            return await use(batcher)
        finally:
            await batcher.drain()
            await batcher.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_a_lone_request_is_answered_at_once_with_its_own_outputs_and_times() -> None:
    async def use(batcher: Batcher) -> None:
        answer = await batcher.submit(payload(7))
        assert answer.outputs["embedding"].shape == (1, 384)
        assert (answer.outputs["embedding"] == 7).all()
        assert answer.timings.batch_size == 1
        assert answer.timings.infer_s >= 0.01
        assert answer.timings.queue_s >= 0
        assert answer.timings.parse_s == answer.timings.serialize_s == 0

    run(FakeSession(delay_s=0.01), use)


def test_handing_a_batch_to_the_session_and_back_is_part_of_its_time() -> None:
    """Else the path direct would call it the client's, and the path fastapi the server's."""
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        future = batcher.submit(payload(1))
        await session.busy()
        session.gate.release()
        time.sleep(0.05)  # noqa: ASYNC251 (the loop is held up: it hears late of a batch that is over)
        timings = (await future).timings
        assert timings.batch_s + timings.infer_s >= 0.05

    run(session, use)


def test_requests_of_the_same_turn_share_a_batch_and_each_gets_its_own_part() -> None:
    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.submit(payload(value)) for value in range(5)))
        assert [answer.outputs["embedding"][0, 0] for answer in answers] == [0, 1, 2, 3, 4]
        assert {answer.timings.batch_size for answer in answers} == {5}

    session = FakeSession()
    run(session, use)
    assert session.batches == [[0, 1, 2, 3, 4]]


def test_a_busy_session_collects_up_to_the_largest_batch_in_the_order_of_arrival() -> None:
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        first = batcher.submit(payload(100))
        await session.busy()
        rest = []
        for value in range(6):
            rest.append(batcher.submit(payload(value)))
            await asyncio.sleep(0)  # a turn of the loop between each of them
        session.gate.release(10)
        await asyncio.gather(first, *rest)

    run(session, use, most=4)
    assert session.batches == [[100], [0, 1, 2, 3], [4, 5]]
    assert len(session.threads) == 1
    assert threading.get_ident() not in session.threads


def test_without_batching_every_request_runs_alone() -> None:
    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.submit(payload(value)) for value in range(4)))
        assert {answer.timings.batch_size for answer in answers} == {1}

    session = FakeSession()
    run(session, use, batching="none")
    assert session.batches == [[0], [1], [2], [3]]


def test_requests_of_several_items_count_with_all_of_them() -> None:
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        first = batcher.submit(payload(0))
        await session.busy()
        others = [batcher.submit(payload(1, 3)), batcher.submit(payload(2, 2)), batcher.submit(payload(3, 1))]
        session.gate.release(10)
        await first
        answers = await asyncio.gather(*others)
        assert [len(answer.outputs["embedding"]) for answer in answers] == [3, 2, 1]
        assert [answer.outputs["embedding"][-1, -1] for answer in answers] == [1, 2, 3]
        assert [answer.timings.batch_size for answer in answers] == [3, 3, 3]

    run(session, use, most=4)
    assert session.batches == [[0], [1, 1, 1], [2, 2, 3]]


def test_a_cancelled_request_never_reaches_the_session() -> None:
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        first = batcher.submit(payload(0))
        await session.busy()
        dropped = batcher.submit(payload(1))
        kept = batcher.submit(payload(2))
        dropped.cancel()
        session.gate.release(10)
        await asyncio.gather(first, kept)

    run(session, use)
    assert session.batches == [[0], [2]]


def test_a_request_cancelled_in_its_batch_leaves_the_others_alone() -> None:
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        one, other = batcher.submit(payload(1)), batcher.submit(payload(2))
        await session.busy()
        one.cancel()
        session.gate.release(10)
        assert (await other).outputs["embedding"][0, 0] == 2

    run(session, use)


def test_all_waiting_requests_cancelled_leave_the_worker_ready() -> None:
    session = GatedSession()
    session.gate.release(10)

    async def use(batcher: Batcher) -> None:
        dropped = batcher.submit(payload(1))
        dropped.cancel()
        await asyncio.sleep(0)
        assert (await batcher.submit(payload(2))).outputs["embedding"][0, 0] == 2

    run(session, use)
    assert session.batches == [[2]]


def test_an_error_of_the_session_fails_its_own_batch_only() -> None:
    async def use(batcher: Batcher) -> None:
        futures = [batcher.submit(payload(value)) for value in (1, 13, 2)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(results[1], InferenceError)
        assert str(results[1]) == "the session failed on a batch of 1 requests: RuntimeError('the engine refuses')"
        assert not isinstance(results[0], BaseException)
        assert not isinstance(results[2], BaseException)

    run(FakeSession(fails_on=13), use, batching="none")


def test_each_request_of_a_failed_batch_gets_an_error_of_its_own() -> None:
    async def use(batcher: Batcher) -> None:
        futures = [batcher.submit(payload(value)) for value in (1, 13)]
        first, second = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(first, InferenceError)
        assert isinstance(second, InferenceError)
        assert first is not second
        assert (await batcher.submit(payload(3))).outputs["embedding"][0, 0] == 3

    run(FakeSession(fails_on=13), use)


def test_outputs_of_the_wrong_length_are_an_error_and_nobody_gets_somebody_elses() -> None:
    class Short(FakeSession):
        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"embedding": super().run(inputs)["embedding"][:1]}

    async def use(batcher: Batcher) -> None:
        futures = [batcher.submit(payload(value)) for value in (1, 2)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all("output 'embedding' has 1 items for a batch of 2" in str(result) for result in results)

    run(Short(), use)


def test_draining_answers_what_waits_and_refuses_more_then_the_session_is_closed() -> None:
    session = GatedSession()

    async def main() -> None:
        batcher = Batcher([InThread(session)], "none", 8)
        await batcher.start()
        assert batcher.accepts
        futures = [batcher.submit(payload(value)) for value in range(3)]
        await session.busy()
        closing = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        assert not batcher.accepts
        with pytest.raises(ClosedError, match="shutting down"):
            batcher.submit(payload(9))
        session.gate.release(10)
        await closing
        assert all(future.done() for future in futures)
        await batcher.drain()
        await batcher.close()
        await batcher.close()

    asyncio.run(main())
    assert session.batches == [[0], [1], [2]]
    assert session.closed


def test_an_idle_batcher_closes() -> None:
    async def use(batcher: Batcher) -> None:
        await asyncio.sleep(0.02)

    session = FakeSession()
    run(session, use)
    assert session.closed


def test_no_request_is_lost_between_busy_and_idle() -> None:
    """Callers that come and go at random moments hit every order of arrival, wake-up and going idle."""

    async def use(batcher: Batcher) -> int:
        async def call(seed: int) -> int:
            random = np.random.default_rng(seed)
            for number in range(300):
                if random.random() < 0.3:
                    await asyncio.sleep(0)
                elif random.random() < 0.01:
                    await asyncio.sleep(0.0005)
                async with asyncio.timeout(30):
                    answer = await batcher.submit(payload(number))
                assert answer.outputs["embedding"][0, 0] == number
            return 300

        return sum(await asyncio.gather(*(call(seed) for seed in range(6))))

    assert run(FakeSession(), use, most=4) == 1800


def test_the_event_loop_turns_while_the_session_runs() -> None:
    async def use(batcher: Batcher) -> int:
        answer = batcher.submit(payload(1))
        turns = 0
        while not answer.done():
            turns += 1
            await asyncio.sleep(0.001)
        return turns

    assert run(FakeSession(delay_s=0.05), use) > 3


def test_sizes_that_cannot_be_are_refused() -> None:
    async def use(batcher: Batcher) -> None:
        with pytest.raises(BatchTooLargeError, match="9 items; at most 8"):
            batcher.submit(payload(1, 9))

    run(FakeSession(), use)
    with pytest.raises(UserError, match="max_batch_size is 0"):
        Batcher([], "dynamic", 0)


def test_queue_time_is_the_wait_for_the_session() -> None:
    session = GatedSession()

    async def use(batcher: Batcher) -> None:
        first = batcher.submit(payload(0))
        await session.busy()
        second = batcher.submit(payload(1))
        time.sleep(0.02)  # noqa: ASYNC251 (a wait of known length, whatever the loop does)
        session.gate.release(10)
        await first
        assert (await second).timings.queue_s >= 0.02

    run(session, use)


class ByHand(Runner):
    """Keeps its batches until the test says what comes of them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._requests: list[Tensors] = []
        self.listener: Listener

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        listener.up(self)

    def run(self, requests: Sequence[Tensors], items: int) -> None:
        assert items == sum(len(request["input_ids"]) for request in requests)
        self._requests = list(requests)
        self.batches.append([int(row[0]) for request in requests for row in request["input_ids"]])

    def finish(self, infer_s: float = 0.0) -> None:
        """The session is done with the batch."""
        outputs = [{"embedding": request["input_ids"]} for request in self._requests]
        self.listener.ran(self, Ran(outputs, 0.0, infer_s))

    def lose(self) -> None:
        """The process is gone."""
        self.listener.down(self)
        self.listener.ran(self, ReplicaLostError("replica ended"))

    async def close(self) -> None:
        pass


def by_hand(
    use: Callable[[Batcher, list[ByHand]], Awaitable[None]], runners: int = 1, most: int = 4, queue_limit: int = 100
) -> None:
    async def main() -> None:
        hands = [ByHand() for _ in range(runners)]
        batcher = Batcher(hands, "dynamic", most, queue_limit)
        await batcher.start()
        await use(batcher, hands)
        await batcher.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def turn() -> None:
    """Let the loop do what is due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_idle_runners_share_what_waits() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        futures = [batcher.submit(payload(value)) for value in range(6)]
        await turn()
        assert [hand.batches for hand in hands] == [[[0, 1]], [[2, 3]], [[4, 5]]]
        for hand in hands:
            hand.finish()
        assert [(await future).outputs["embedding"][0, 0] for future in futures] == list(range(6))

    by_hand(use, runners=3)


def test_what_waits_beyond_the_limit_is_refused_with_the_time_to_come_back() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=0.5)
        await first
        running = batcher.submit(payload(0))
        await turn()
        waiting = [batcher.submit(payload(value)) for value in range(6)]
        batcher.admit()
        with pytest.raises(QueueFullError, match="6 items wait already"):
            batcher.submit(payload(9, 3))
        waiting.append(batcher.submit(payload(9, 2)))
        with pytest.raises(QueueFullError) as error:
            batcher.admit()
        # what is left of the batch that runs, the two that wait, and its own
        assert 3 * 0.5 <= error.value.retry_after_s <= 4 * 0.5
        for _ in range(3):
            hands[0].finish()
            await turn()
        await asyncio.gather(running, *waiting)
        assert batcher.waiting == 0

    by_hand(use, queue_limit=8)


def test_a_deadline_that_passes_in_the_queue_is_told_then_and_the_request_is_never_run() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        running = batcher.submit(payload(0))
        await turn()
        now_s = time.monotonic()
        late = [batcher.submit(payload(value), now_s + after_s) for value, after_s in ((1, 0.05), (2, 0.02), (3, 60.0))]
        for future in late[1], late[0]:
            with pytest.raises(DeadlineError):
                await asyncio.wait_for(future, 5)
        assert time.monotonic() - now_s >= 0.05
        hands[0].finish()
        await running
        await turn()
        assert hands[0].batches == [[0], [3]]
        hands[0].finish()
        await late[2]

    by_hand(use)


def test_a_request_whose_batch_would_end_too_late_is_not_run() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=10.0)
        await first
        with pytest.raises(DeadlineError):
            await batcher.submit(payload(1), time.monotonic() + 5.0)
        in_time = batcher.submit(payload(2), time.monotonic() + 15.0)
        await turn()
        assert hands[0].batches == [[0], [2]]
        hands[0].finish()
        await in_time

    by_hand(use)


def test_a_request_that_what_waits_would_make_late_is_refused_before_it_waits() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=10.0)
        await first
        running = batcher.submit(payload(0))
        await turn()
        # Its answer would come in 20 s as far as can be told; but nothing waits, and so it may try.
        tries = batcher.submit(payload(1), time.monotonic() + 15.0)
        with pytest.raises(QueueFullError, match="take longer than the request's deadline") as error:
            batcher.submit(payload(2), time.monotonic() + 15.0)
        assert 4.0 < error.value.retry_after_s <= 5.0
        with pytest.raises(QueueFullError):
            batcher.admit(1, timeout_s=15.0)
        batcher.admit(1, timeout_s=21.0)
        patient = batcher.submit(payload(3), time.monotonic() + 21.0)
        hands[0].finish()
        await turn()
        assert hands[0].batches == [[0], [0], [1, 3]]
        hands[0].finish()
        await asyncio.gather(running, tries, patient)

    by_hand(use, queue_limit=8)


def test_no_request_is_refused_for_which_a_runner_is_idle() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = [batcher.submit(payload(0)) for _ in range(3)]
        await turn()
        for hand in hands:
            hand.finish(infer_s=10.0)
        await asyncio.gather(*first)
        futures = [batcher.submit(payload(value), time.monotonic() + 11.0) for value in range(3)]
        await turn()
        assert [hand.batches[1:] for hand in hands] == [[[0]], [[1]], [[2]]]
        for hand in hands:
            hand.finish()
        await asyncio.gather(*futures)

    by_hand(use, runners=3)


def test_requests_that_run_one_by_one_are_forecast_as_runs_and_not_as_items() -> None:
    async def use(batcher: Batcher) -> None:
        await batcher.submit(payload(0, 4))  # a run of four items takes 50 ms
        running = batcher.submit(payload(1, 4))
        await asyncio.sleep(0.01)
        waiting = [batcher.submit(payload(2, 4), time.monotonic() + 5.0) for _ in range(3)]
        assert batcher.wait_s(4) < 5 * 0.1  # and not 13 of them
        await asyncio.gather(running, *waiting)

    run(FakeSession(delay_s=0.05), use, batching="none")


def test_requests_that_were_admitted_together_are_all_taken() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=10.0)
        await first
        batcher.admit(6, timeout_s=15.0)
        futures = [batcher.submit(payload(value), time.monotonic() + 15.0, admitted=True) for value in range(6)]
        await turn()
        hands[0].finish(infer_s=0.01)
        await turn()
        hands[0].finish(infer_s=0.01)
        await asyncio.gather(*futures)
        assert hands[0].batches == [[0], [0, 1, 2, 3], [4, 5]]

    by_hand(use)


def test_forecasts_that_were_too_early_leave_more_time() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=0.001)
        await first
        running = batcher.submit(payload(0))
        await turn()
        waiting = batcher.submit(payload(1), time.monotonic() + 0.5)
        hands[0].finish(infer_s=0.001)
        await running
        await asyncio.sleep(0.2)  # what its forecast did not know of
        hands[0].finish(infer_s=0.001)
        await waiting
        running = batcher.submit(payload(0))
        await turn()
        waiting = batcher.submit(payload(1))
        with pytest.raises(QueueFullError):
            batcher.admit(1, timeout_s=0.1)
        hands[0].finish(infer_s=0.001)
        await running
        hands[0].finish(infer_s=0.001)
        await waiting

    by_hand(use, queue_limit=8000)


def test_a_request_whose_client_has_gone_is_not_run_and_those_behind_it_are() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        running = batcher.submit(payload(0))
        await turn()
        gone = [batcher.submit(payload(value), gone=lambda: True) for value in range(1, 6)]
        kept = batcher.submit(payload(6), gone=lambda: False)
        hands[0].finish()
        await running
        for future in gone:
            with pytest.raises(GoneError):
                await future
        assert hands[0].batches == [[0], [6]]
        hands[0].finish()
        await kept

    by_hand(use)


def test_only_the_requests_of_a_lost_runner_fail_and_it_is_fed_again_when_it_is_up() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        futures = [batcher.submit(payload(value)) for value in range(4)]
        await turn()
        waiting = batcher.submit(payload(9))
        hands[0].lose()
        assert batcher.accepts
        assert batcher.runners_up == 1
        for future in futures[:2]:
            with pytest.raises(ReplicaLostError, match="replica ended"):
                await future
        hands[1].lose()
        assert not batcher.accepts
        await turn()
        assert not waiting.done()
        hands[0].listener.up(hands[0])
        assert batcher.accepts
        assert hands[0].batches == [[0, 1], [9]]
        hands[0].finish()
        await waiting
        await asyncio.gather(*futures, return_exceptions=True)

    by_hand(use, runners=2)


def test_what_is_not_answered_when_it_closes_fails() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        futures = [batcher.submit(payload(value)) for value in range(6)]
        await turn()
        await batcher.close()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(result, ClosedError) for result in results)

    by_hand(use)


def test_a_deadline_that_has_passed_already_is_told_at_once_and_disturbs_nobody() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        running = batcher.submit(payload(0))
        await turn()
        with pytest.raises(DeadlineError):
            batcher.submit(payload(1), time.monotonic() - 1)
        soon = batcher.submit(payload(2), time.monotonic() + 1e-4)
        others = [batcher.submit(payload(3), time.monotonic() + 60), batcher.submit(payload(4))]
        with pytest.raises(DeadlineError):
            await asyncio.wait_for(soon, 5)
        for _ in range(2):
            hands[0].finish()
            await turn()
        await asyncio.gather(running, *others)
        assert hands[0].batches == [[0], [3, 4]]

    by_hand(use)


def test_after_slow_batches_requests_in_a_hurry_are_served_again() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        first = batcher.submit(payload(0))
        await turn()
        hands[0].finish(infer_s=100.0)
        await first
        refused = 0
        while True:
            hurried = batcher.submit(payload(1), time.monotonic() + 5.0)
            await turn()
            if len(hands[0].batches) == 2:
                break
            with pytest.raises(DeadlineError):
                await hurried
            refused += 1
            assert refused < 50
        hands[0].finish()
        await hurried
        assert refused > 0

    by_hand(use)


def test_what_has_expired_or_was_cancelled_makes_room_in_the_queue() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        running = batcher.submit(payload(0))
        await turn()
        waiting = [batcher.submit(payload(value), time.monotonic() + 0.02) for value in range(3)]
        waiting.append(batcher.submit(payload(9)))
        waiting[-1].cancel()
        with pytest.raises(QueueFullError):
            batcher.admit()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results[:3]] == [DeadlineError] * 3
        assert batcher.waiting == 0
        drained = asyncio.create_task(batcher.drain())
        hands[0].finish()
        await running
        await asyncio.wait_for(drained, 5)

    by_hand(use, queue_limit=4)


def test_an_empty_queue_takes_whatever_a_batch_takes() -> None:
    async def use(batcher: Batcher, hands: list[ByHand]) -> None:
        large = batcher.submit(payload(1, 4))
        await turn()
        waiting = batcher.submit(payload(2, 4))
        with pytest.raises(QueueFullError):
            batcher.submit(payload(3, 1))
        for _ in range(2):
            hands[0].finish()
            await turn()
        await asyncio.gather(large, waiting)

    by_hand(use, queue_limit=2)
