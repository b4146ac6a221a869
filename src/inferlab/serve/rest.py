"""Under overload, refusals are answered several at a time.

Each refusal by itself wakes the event loop, which takes the core from a session that shares it, and both then find cold
caches: a refusal cost 68 µs so, and 44 µs in bunches (minilm, one core for the whole server, ten times its capacity).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferlab.serve.batcher import Batcher

LONGEST_REST_MS = 5


class Rest:
    """Stops the event loop after a refusal, while no request that came could be started.

    That is while every runner of every batcher is busy. The loop goes on as soon as one of them reports.
    """

    def __init__(self, batchers: Sequence[Batcher]) -> None:
        self._batchers = batchers
        self._is_due = False

    def after_refusal(self) -> None:
        """Rest once what the loop has to do now is done."""
        if not self._is_due:
            self._is_due = True
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
