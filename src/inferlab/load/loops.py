"""The two ways to offer load. They know how to send through a callable, and nothing of what is behind it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from inferlab.load.alarm import Alarm
from inferlab.load.block import LEAST_REQUESTS, Block, ClosedLoad, OpenLoad
from inferlab.load.ending import Ending
from inferlab.load.stopping import Watch

clock = time.monotonic
"""Seconds; the same clock in every process of the machine."""


class Reply(NamedTuple):
    """What came of one request."""

    first_byte_s: float
    """On `clock`; NaN where no answer came."""
    status: str
    """ok, timeout, rejected or error"""
    http_status: int = 0
    timings: object = None
    """The server's account, in whatever form it came: read after the block."""
    error: str = ""
    cached: bool = False
    """Answered from the server's response cache."""


class Row(NamedTuple):
    """One request; times on `clock`."""

    caller: int
    warmup: bool
    scheduled_s: float
    sent_s: float
    done_s: float
    reply: Reply


Send = Callable[[int], Awaitable[Reply]]
"""Sends the n-th request of the block, counted from 0, and never raises for what a server or network may do."""


class Offered(NamedTuple):
    """The requests of a block, in the order of completion, and where its parts begin and end on `clock`."""

    rows: list[Row]
    start_s: float
    measured_from_s: float
    window_end_s: float
    """No measured request is due later."""
    end_s: float
    """The measured part is over: the last answer is here and, in an open loop, the window has passed."""
    offered_rate_per_s: float
    ended_early: bool = False


async def offer(block: Block, send: Send, on_measured: Callable[[], None], ending: Ending | None = None) -> Offered:
    """Offer the load of a block; `on_measured` is called once, when the warm-up is over.

    The measured part ends early where the block's stop rule is met or `ending` is told so.
    """
    ending = Ending() if ending is None else ending
    start_s = clock()
    if block.warmup_s > 0:
        timer = asyncio.get_running_loop().call_later(block.warmup_s, on_measured)
    else:
        timer = None
        on_measured()
    try:
        if isinstance(block.load, ClosedLoad):
            return await _closed(block, block.load, send, start_s, ending)
        return await _open(block, block.load, send, start_s, ending)
    finally:
        if timer is not None:
            timer.cancel()


async def _closed(block: Block, load: ClosedLoad, send: Send, start_s: float, ending: Ending) -> Offered:
    """Each caller's next request is due when its previous one is done, and none is left unfinished.

    However long they take, every caller sends LEAST_REQUESTS in the warm-up and as many measured ones, in a block
    without a warm-up at least one. One that has done its last measured request goes on with unmeasured ones, marked
    like those of the warm-up, until all others have too: else the last requests of a slow server would find it less
    busy than the scenario says.
    """
    rows: list[Row] = []
    measured_from_s = start_s + block.warmup_s
    ending.plan(measured_from_s, measured_from_s + block.block_s)
    watch = None if block.stop is None else Watch(block.stop, measured_from_s)
    sent = measured = 0
    measuring = load.callers
    least_unmeasured, least_measured = (LEAST_REQUESTS, LEAST_REQUESTS) if block.warmup_s > 0 else (0, 1)

    async def call(caller: int) -> None:
        nonlocal sent, measured, measuring
        scheduled_s = start_s
        own_unmeasured = own_measured = 0
        done = False
        while True:
            unmeasured = done or scheduled_s < measured_from_s or own_unmeasured < least_unmeasured
            enough = own_measured >= least_measured and scheduled_s >= ending.end_s
            if not unmeasured and (enough or measured == block.max_requests):
                unmeasured = done = True
                measuring -= 1
            if done and measuring == 0:
                return
            if unmeasured:
                own_unmeasured += 1
            else:
                measured += 1
                own_measured += 1
            sent += 1
            sent_s = clock()
            reply = await send(sent - 1)
            done_s = clock()
            rows.append(Row(caller, unmeasured, scheduled_s, sent_s, done_s, reply))
            if watch is not None and not unmeasured and _content(watch, rows[-1]):
                ending.end()
            scheduled_s = done_s

    async with asyncio.TaskGroup() as group:
        for caller in range(load.callers):
            group.create_task(call(caller))
    last_s = max(row.done_s for row in rows)
    return Offered(rows, start_s, measured_from_s, ending.end_s, last_s, float("nan"), ending.early)


async def _open(block: Block, load: OpenLoad, send: Send, start_s: float, ending: Ending) -> Offered:
    """Requests leave at absolute moments; late ones leave at once, and none is skipped."""
    offsets_s = load.arrivals.schedule(block.warmup_s + block.block_s, block.seed)
    warmup_count = int((offsets_s < block.warmup_s).sum())
    block_s = block.block_s
    if block.max_requests is not None and len(offsets_s) > warmup_count + block.max_requests:
        block_s = float(offsets_s[warmup_count + block.max_requests]) - block.warmup_s
        offsets_s = offsets_s[: warmup_count + block.max_requests]
    measured_from_s = start_s + block.warmup_s
    watch = None if block.stop is None else Watch(block.stop, measured_from_s)
    rows: list[Row] = []
    sent = 0

    async def call(number: int, scheduled_s: float) -> None:
        sent_s = clock()
        reply = await send(number)
        rows.append(Row(0, number < warmup_count, scheduled_s, sent_s, clock(), reply))
        if watch is not None and number >= warmup_count and _content(watch, rows[-1]):
            ending.end()

    alarm = Alarm()
    ending.plan(measured_from_s, measured_from_s + block_s, alarm.ring)
    try:
        async with asyncio.TaskGroup() as group:
            for number, offset_s in enumerate(offsets_s.tolist()):
                await alarm.until(start_s + offset_s)
                if ending.early:
                    break
                sent = number + 1
                group.create_task(call(number, start_s + offset_s))
            # A server that answers early must not shorten the window that throughput is counted in.
            await alarm.until(ending.end_s)
    finally:
        alarm.close()
    if ending.early:
        block_s = ending.end_s - measured_from_s
    rate_per_s = max(0, sent - warmup_count) / block_s
    last_s = max((row.done_s for row in rows), default=ending.end_s)
    end_s = max(ending.end_s, last_s)
    return Offered(rows, start_s, measured_from_s, ending.end_s, end_s, rate_per_s, ending.early)


def _content(watch: Watch, row: Row) -> bool:
    return row.reply.status == "ok" and watch.content(row.done_s - row.scheduled_s, row.done_s)
