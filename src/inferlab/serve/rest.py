"""Under overload, refusals are answered several at a time.

Each refusal by itself wakes the event loop, which takes the core from a session that shares it, and both then find cold
caches: a refusal cost 68 µs so, and 44 µs in bunches of 5 ms (minilm, one core for the whole server, ten times its
capacity).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence
from time import monotonic as clock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferlab.serve.batcher import Batcher

LONGEST_REST_MS = 10


class Rest:
    """Stops the event loop after a refusal, while no request that came could be started.

    That is while every runner of every batcher is busy. The loop goes on as soon as one of them reports.
    """

    def __init__(self, batchers: Sequence[Batcher]) -> None:
        self._batchers = batchers
        self._is_due = False
        self._due_s = 0.0
        self._rested_from_s: float | None = None
        """Of a rest after which the loop is reading what came meanwhile."""

    def came_s(self) -> float:
        """When what the loop reads now came at the earliest: its deadline does not wait for the loop."""
        return clock() if self._rested_from_s is None else self._rested_from_s

    def after_refusal(self) -> None:
        """Rest once what the loop has to do now is done."""
        if not self._is_due:
            self._is_due = True
            self._due_s = clock()
            loop = asyncio.get_running_loop()
            # Behind what the messages of this turn have made ready, which are answers.
            loop.call_soon(loop.call_soon, self._rest)

    def _rest(self) -> None:
        self._is_due = False
        reports = select.poll()  # select(2) takes no descriptors above 1023
        busy = False
        for batcher in self._batchers:
            if batcher.has_idle:
                return
            for descriptor in batcher.reports:
                if descriptor is None:
                    return
                reports.register(descriptor, select.POLLIN)
                busy = True
        if busy:
            reports.poll(LONGEST_REST_MS)
            self._rested_from_s = self._due_s
            loop = asyncio.get_running_loop()
            # Behind the requests that the loop reads next.
            loop.call_soon(loop.call_soon, self._is_over)

    def _is_over(self) -> None:
        self._rested_from_s = None
