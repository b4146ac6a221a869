import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvloop

from inferlab.serve import rest
from inferlab.serve.batcher import Batcher
from inferlab.serve.rest import Rest


@dataclass
class FakeBatcher:
    """As much of a batcher as is asked."""

    reports: list[int | None]
    has_idle: bool = False
    events: list[str] = field(default_factory=list)


class Watched(FakeBatcher):
    """Notes when it is asked."""

    @property  # type: ignore[override]
    def has_idle(self) -> bool:
        self.events.append("rest")
        return True

    @has_idle.setter
    def has_idle(self, value: bool) -> None:
        pass


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def refuse(*batchers: FakeBatcher) -> None:
    """A refusal, and the turns of the loop in which it may rest."""

    async def main() -> None:
        Rest(cast(list[Batcher], batchers)).after_refusal()
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(main())


def is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def test_the_loop_rests_until_a_runner_reports(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LONGEST_REST_MS", 60_000)

    def report() -> None:
        time.sleep(0.05)
        os.write(pipe[1], b"x")

    thread = threading.Thread(target=report)
    thread.start()
    refuse(FakeBatcher([pipe[0]]), FakeBatcher([]))
    assert is_readable(pipe[0])
    thread.join()


def test_it_rests_no_longer_than_it_may(pipe: tuple[int, int]) -> None:
    refuse(FakeBatcher([pipe[0]]))
    assert not is_readable(pipe[0])


def test_it_does_not_rest_while_a_request_could_be_started(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Poll:
        def register(self, descriptor: int, events: int) -> None:
            pass

        def poll(self, timeout_ms: int) -> None:
            asked.append(timeout_ms)

    monkeypatch.setattr(rest.select, "poll", Poll)
    refuse(FakeBatcher([pipe[0]]), FakeBatcher([], has_idle=True))
    refuse(FakeBatcher([pipe[0], None]))
    refuse(FakeBatcher([]))
    assert asked == []
    refuse(FakeBatcher([pipe[0]]))
    assert asked == [rest.LONGEST_REST_MS]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_request_that_is_read_after_a_rest_may_have_come_at_its_beginning(
    pipe: tuple[int, int], runner: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    said: list[tuple[float, float]] = []

    async def main() -> None:
        one = Rest(cast(list[Batcher], [FakeBatcher([pipe[0]])]))
        ours, theirs = socket.socketpair()
        read = asyncio.Event()

        def on_request() -> None:
            ours.recv(1)
            said.append((one.came_s(), time.monotonic()))
            read.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(ours, on_request)
        before_s = time.monotonic()
        one.after_refusal()
        loop.call_soon(loop.call_soon, theirs.send, b"x")  # right after the rest, so that it is read next
        await read.wait()
        ((came_s, read_s),) = said
        assert before_s <= came_s <= read_s - rest.LONGEST_REST_MS / 1e3 * 0.9
        for _ in range(4):
            await asyncio.sleep(0)
        assert one.came_s() >= read_s
        loop.remove_reader(ours)
        ours.close()
        theirs.close()

    runner(main())


def test_answers_that_are_ready_go_before_it_and_two_refusals_are_one_rest() -> None:
    events: list[str] = []

    async def main() -> None:
        batcher = Watched([], events=events)
        one = Rest(cast(list[Batcher], [batcher]))
        one.after_refusal()
        one.after_refusal()
        asyncio.get_running_loop().call_soon(events.append, "answer")
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert events == ["answer", "rest"]
