import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
import uvloop

from inferlab.errors import UserError
from inferlab.records import Batching
from inferlab.serve.batcher import Batcher, BatchTooLargeError, ClosedError, InferenceError
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
        batcher = Batcher(session, batching, most)
        batcher.start()
        try:
            return await use(batcher)
        finally:
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


def test_close_answers_what_waits_then_refuses_and_closes_the_session() -> None:
    session = GatedSession()

    async def main() -> None:
        batcher = Batcher(session, "none", 8)
        batcher.start()
        assert batcher.accepts
        futures = [batcher.submit(payload(value)) for value in range(3)]
        await session.busy()
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        assert not batcher.accepts
        with pytest.raises(ClosedError, match="shutting down"):
            batcher.submit(payload(9))
        session.gate.release(10)
        await closing
        assert all(future.done() for future in futures)
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
        Batcher(FakeSession(), "dynamic", 0)


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
