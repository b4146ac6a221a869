import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from inferlab.load.arrivals import ConstantArrivals, PoissonArrivals
from inferlab.load.block import LEAST_REQUESTS, Block, ClosedLoad, OpenLoad
from inferlab.load.ending import Ending
from inferlab.load.loops import Offered, Reply, clock, offer
from inferlab.load.stopping import StopRule


def sleeper(delay_s: float, sent: list[int] | None = None) -> Callable[[int], Awaitable[Reply]]:
    async def send(number: int) -> Reply:
        if sent is not None:
            sent.append(number)
        await asyncio.sleep(delay_s)
        return Reply(clock(), "ok")

    return send


def run(block: Block, send: Callable[[int], Awaitable[Reply]]) -> Offered:
    return asyncio.run(offer(block, send, lambda: None))


def test_closed_loop_schedules_a_callers_next_request_when_its_previous_one_is_done() -> None:
    offered = run(Block(ClosedLoad(3), 0.02, 0.05, 1.0), sleeper(0.004))
    for caller in range(3):
        own = [row for row in offered.rows if row.caller == caller]
        assert own[0].scheduled_s == offered.start_s
        assert [row.scheduled_s for row in own[1:]] == [row.done_s for row in own[:-1]]


def test_closed_loop_marks_what_was_due_in_the_warm_up_and_finishes_what_is_under_way() -> None:
    sent: list[int] = []
    offered = run(Block(ClosedLoad(4), 0.03, 0.05, 1.0), sleeper(0.004, sent))
    assert {row.warmup for row in offered.rows} == {True, False}
    measured = [row for row in offered.rows if not row.warmup]
    assert all(offered.measured_from_s <= row.scheduled_s < offered.window_end_s for row in measured)
    assert len(offered.rows) == len(sent)
    assert sent == list(range(len(sent)))
    assert offered.end_s == max(row.done_s for row in offered.rows)


def test_measured_requests_find_a_busy_server_until_the_last_one() -> None:
    under_way = 0
    seen: list[int] = []

    async def run_one_at_a_time() -> Offered:
        turn = asyncio.Lock()

        async def send(number: int) -> Reply:
            nonlocal under_way
            under_way += 1
            async with turn:
                seen.append(under_way)
                await asyncio.sleep(0.005)
            under_way -= 1
            return Reply(clock(), "ok")

        return await offer(Block(ClosedLoad(4), 0.03, 0.02, 1.0), send, lambda: None)

    offered = asyncio.run(run_one_at_a_time())
    last = max(number for number, row in enumerate(offered.rows) if not row.warmup)
    assert all(count == 4 for count in seen[4 : last + 1])
    assert any(row.warmup and row.scheduled_s >= offered.window_end_s for row in offered.rows)


@pytest.mark.parametrize("load", [ClosedLoad(4), OpenLoad(ConstantArrivals(2000.0))])
def test_max_requests_bounds_the_measured_part_alone(load: ClosedLoad | OpenLoad) -> None:
    offered = run(Block(load, 0.02, 10.0, 1.0, max_requests=7), sleeper(0.001))
    assert sum(not row.warmup for row in offered.rows) == 7
    assert any(row.warmup for row in offered.rows)


def test_every_caller_sends_several_requests_in_the_warm_up_and_after_it_however_long_they_take() -> None:
    offered = run(Block(ClosedLoad(2), 0.01, 0.01, 1.0), sleeper(0.05))
    for caller in range(2):
        own = [row.warmup for row in offered.rows if row.caller == caller]
        assert own[: 2 * LEAST_REQUESTS] == [True] * LEAST_REQUESTS + [False] * LEAST_REQUESTS


def test_without_a_warm_up_every_caller_sends_one_request_however_long_it_takes() -> None:
    offered = run(Block(ClosedLoad(2), 0.0, 0.01, 1.0), sleeper(0.05))
    assert sorted(row.caller for row in offered.rows if not row.warmup) == [0, 1]


def test_open_loop_sends_at_its_own_moments_whatever_the_answers_take() -> None:
    block = Block(OpenLoad(PoissonArrivals(300.0)), 0.05, 0.15, 5.0, seed=5)
    offered = run(block, sleeper(0.1))
    due_s = sorted(row.scheduled_s - offered.start_s for row in offered.rows)
    assert due_s == pytest.approx(PoissonArrivals(300.0).schedule(0.2, 5).tolist(), abs=1e-9)
    assert all(row.sent_s >= row.scheduled_s for row in offered.rows)
    assert offered.window_end_s - offered.measured_from_s == pytest.approx(0.15)


def test_open_loop_skips_nothing_when_it_is_late_and_counts_the_lateness() -> None:
    """One stall of the sender: everything due meanwhile is sent after it, with its latency from the schedule."""
    stall_s = 0.2

    async def send(number: int) -> Reply:
        if number == 20:
            time.sleep(stall_s)  # noqa: ASYNC251 (the stall is the point)
        return Reply(clock(), "ok")

    offered = run(Block(OpenLoad(ConstantArrivals(200.0)), 0.0, 0.5, 5.0), send)
    assert len(offered.rows) == 100
    latency_s = sorted(row.done_s - row.scheduled_s for row in offered.rows)
    # 40 requests were due while it stalled; a client that waits for answers would have sent none of them.
    assert sum(latency > 0.01 for latency in latency_s) >= 38
    assert latency_s[-1] >= stall_s


def test_open_loop_tells_the_rate_of_its_schedule() -> None:
    offered = run(Block(OpenLoad(ConstantArrivals(400.0)), 0.05, 0.1, 1.0), sleeper(0.0))
    assert offered.offered_rate_per_s == pytest.approx(400.0)
    cut = run(Block(OpenLoad(ConstantArrivals(400.0)), 0.05, 0.1, 1.0, max_requests=20), sleeper(0.0))
    assert cut.offered_rate_per_s == pytest.approx(400.0)
    assert cut.window_end_s - cut.measured_from_s == pytest.approx(0.05)


LOADS = [ClosedLoad(2), OpenLoad(ConstantArrivals(200.0)), OpenLoad(ConstantArrivals(0.05))]


@pytest.mark.parametrize("load", LOADS)
def test_a_block_can_be_ended_early(load: ClosedLoad | OpenLoad) -> None:
    async def run_and_end() -> Offered:
        ending = Ending()
        asyncio.get_running_loop().call_later(0.1, ending.end)
        return await offer(Block(load, 0.02, 60.0, 1.0), sleeper(0.004), lambda: None, ending)

    offered = asyncio.run(run_and_end())
    assert offered.ended_early
    measured = [row for row in offered.rows if not row.warmup]
    assert all(offered.measured_from_s <= row.scheduled_s < offered.window_end_s for row in measured)
    window_s = offered.window_end_s - offered.measured_from_s
    assert 0.05 < window_s < 30
    if isinstance(load, OpenLoad):
        assert offered.offered_rate_per_s == pytest.approx(len(measured) / window_s)


@pytest.mark.parametrize("load", LOADS[:2])
def test_a_stop_rule_ends_a_block_when_it_is_met(load: ClosedLoad | OpenLoad) -> None:
    offered = run(Block(load, 0.02, 60.0, 1.0, stop=StopRule(0.0, 20)), sleeper(0.004))
    assert offered.ended_early
    assert 20 <= sum(not row.warmup for row in offered.rows) <= 24
    whole = run(Block(load, 0.0, 0.05, 1.0, stop=StopRule(0.0, 10_000)), sleeper(0.004))
    assert not whole.ended_early


def test_failures_do_not_count_for_a_stop_rule() -> None:
    async def send(number: int) -> Reply:
        await asyncio.sleep(0.001)
        return Reply(clock(), "error")

    assert not run(Block(ClosedLoad(1), 0.0, 0.05, 1.0, stop=StopRule(0.0, 2)), send).ended_early


@pytest.mark.parametrize("warmup_s", [0.0, 0.03])
def test_the_end_of_the_warm_up_is_told_once(warmup_s: float) -> None:
    told: list[float] = []
    block = Block(ClosedLoad(1), warmup_s, 0.05, 1.0)
    offered = asyncio.run(offer(block, sleeper(0.002), lambda: told.append(clock())))
    assert len(told) == 1
    assert told[0] >= offered.measured_from_s - 0.002  # event-loop timers resolve 1 ms


def test_a_sender_that_raises_ends_the_block() -> None:
    async def send(number: int) -> Reply:
        raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup):
        run(Block(ClosedLoad(2), 0.0, 0.05, 1.0), send)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_s": -0.1}, "warmup_s"),
        ({"block_s": 0.0}, "block_s"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"max_requests": 0}, "max_requests"),
        ({"load": ClosedLoad(0)}, "callers"),
        ({"warmup_s": 1.0, "find_warmup": True}, "find_warmup"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"load": ClosedLoad(1), "warmup_s": 0.0, "block_s": 1.0, "timeout_s": 1.0}
    with pytest.raises(ValueError, match=message):
        Block(**{**values, **changes})  # type: ignore[arg-type]
