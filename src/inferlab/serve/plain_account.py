"""The ordinary handler's account of a request: the Server-Timing header that inferlab's own server sends.

Five readings of a clock and a header; the handler itself and what FastAPI does around it stay as they are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

if TYPE_CHECKING:
    from inferlab.serve.session import Session
    from inferlab.serve.tensors import Tensors


FORM = b"parse;dur=%.3f, queue;dur=%.3f, batch;dur=0, infer;dur=%.3f, serialize;dur=%.3f, batch_size;desc=1"
"""As timings.server_timing writes it, in less time."""


class Account:
    """Moments of one request, on time.monotonic: its tensors are there, the session begins with them, and is done."""

    __slots__ = ("begun_s", "ran_s", "ready_s")

    ready_s: float
    begun_s: float
    ran_s: float


ACCOUNT: ContextVar[Account] = ContextVar("account")
"""Of the request that this task, or this thread of the pool, is at work for."""


class AccountedSession:
    """A session, behind a lock where it needs one, that notes when it ran in the account of the request."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = contextlib.nullcontext() if session.thread_safe else threading.Lock()

    def run(self, inputs: Tensors) -> Tensors:
        """As the session's own."""
        account = ACCOUNT.get()
        account.ready_s = clock()
        with self._lock:
            account.begun_s = clock()
            outputs = self._session.run(inputs)
            account.ran_s = clock()
        return outputs


class AccountedRoute(APIRoute):
    """A route whose answers with a run of the session say where their time went.

    Parsing is all from FastAPI's routing to tensors: body, JSON, validation, and the way to a thread of the pool.
    Serializing is all from the outputs to a response: the way back from that thread, the encoder, JSON. Nothing is
    batched. What middleware, routing and HTTP itself take is outside of the account.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def accounted(request: Request) -> Response:
            came_s = clock()
            account = Account()
            ACCOUNT.set(account)
            response = await answer(request)
            ready_s, begun_s, ran_s = account.ready_s, account.begun_s, account.ran_s
            told = FORM % (
                (ready_s - came_s) * 1e3,
                (begun_s - ready_s) * 1e3,
                (ran_s - begun_s) * 1e3,
                (clock() - ran_s) * 1e3,
            )
            response.raw_headers.append((b"server-timing", told))
            return response

        return accounted
