import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from inferlab.load.alarm import Alarm


async def wake_at(offsets_s: list[float]) -> list[float]:
    """How late each moment was met, in seconds."""
    alarm = Alarm()
    start_s = time.monotonic()
    late_s = []
    try:
        for offset_s in offsets_s:
            await alarm.until(start_s + offset_s)
            late_s.append(time.monotonic() - start_s - offset_s)
    finally:
        alarm.close()
    return late_s


def test_no_moment_is_met_early() -> None:
    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            assert min(runner.run(wake_at([0.0, 0.0004, 0.0011, 0.01, 0.01]))) > -1e-6


def test_a_moment_in_the_past_returns_at_once_and_without_a_turn_of_the_loop() -> None:
    async def turns() -> int:
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1

        asyncio.get_running_loop().call_soon(tick)
        alarm = Alarm()
        await alarm.until(time.monotonic() - 1)
        alarm.close()
        return count

    assert asyncio.run(turns()) == 0


def test_the_loop_works_while_it_waits() -> None:
    async def both() -> list[str]:
        order: list[str] = []

        async def other() -> None:
            await asyncio.sleep(0)
            order.append("other")

        alarm = Alarm()
        task = asyncio.create_task(other())
        await alarm.until(time.monotonic() + 0.02)
        order.append("alarm")
        await task
        alarm.close()
        return order

    assert asyncio.run(both()) == ["other", "alarm"]


def test_cancelled_waiting_leaves_the_alarm_usable() -> None:
    async def run() -> float:
        alarm = Alarm()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await alarm.until(time.monotonic() + 10)
        due_s = time.monotonic() + 0.005
        await alarm.until(due_s)
        alarm.close()
        return time.monotonic() - due_s

    assert 0 <= asyncio.run(run()) < 5


def test_ringing_lets_go_who_waits() -> None:
    async def run() -> float:
        alarm = Alarm()
        alarm.ring()  # nobody waits
        start_s = time.monotonic()
        asyncio.get_running_loop().call_later(0.01, alarm.ring)
        await alarm.until(start_s + 60)
        alarm.close()
        return time.monotonic() - start_s

    assert asyncio.run(run()) < 30


def test_close_gives_the_descriptor_back() -> None:
    def open_descriptors() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    async def run() -> int:
        before = open_descriptors()
        alarm = Alarm()
        alarm.close()
        return open_descriptors() - before

    assert asyncio.run(run()) == 0
