"""A session in a thread of this process: the path `direct`, and whatever embeds a batcher."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from time import monotonic as clock
from typing import TYPE_CHECKING

import numpy as np

from inferlab.serve.runner import InferenceError, Listener, Ran, Runner, parts_of

if TYPE_CHECKING:
    from inferlab.serve.session import Session
    from inferlab.serve.tensors import Tensors


class InThread(Runner):
    """Owns a session and the one thread that runs it. A session that raises goes on with the next batch."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._work: SimpleQueue[Sequence[Tensors] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_all, name="session", daemon=True)
        self._begun_s = 0.0
        self._loop: asyncio.AbstractEventLoop
        self._listener: Listener
        self._closed = False

    async def start(self, listener: Listener) -> None:
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._thread.start()
        listener.up(self)

    def run(self, requests: Sequence[Tensors], items: int) -> None:
        self._begun_s = clock()
        self._work.put(requests)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        self._session.close()

    def _run_all(self) -> None:
        while (requests := self._work.get()) is not None:
            self._run_one(requests)

    def _tell(self, parts: list[Tensors], infer_s: float) -> None:
        self._listener.ran(self, Ran(parts, clock() - self._begun_s - infer_s, infer_s))

    def _tell_failed(self, error: InferenceError) -> None:
        self._listener.ran(self, error)
        self._listener.up(self)

    def _run_one(self, requests: Sequence[Tensors]) -> None:
        try:
            inputs = together(requests)
            begun_s = clock()
            outputs = self._session.run(inputs)
            infer_s = clock() - begun_s
            parts = parts_of(outputs, [len(next(iter(request.values()))) for request in requests])
        except Exception as error:  # noqa: BLE001 (whatever it is, only this batch fails, and each of its requests says so)
            failed = InferenceError(f"the session failed on a batch of {len(requests)} requests: {error!r}")
            self._loop.call_soon_threadsafe(self._tell_failed, failed)
            return
        self._loop.call_soon_threadsafe(self._tell, parts, infer_s)


def together(requests: Sequence[Tensors]) -> Tensors:
    """The tensors of all requests, one after another along the batch dimension."""
    if len(requests) == 1:
        return requests[0]
    return {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}
