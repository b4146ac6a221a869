"""What the ordinary handler's account of a request costs: FastAPI without HTTP, with the account and without."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute

from inferlab.models.noop import EMBEDDING_SIZE, SEQUENCE_LENGTH, Noop
from inferlab.serve import plain_app

MODEL = Noop(name="noop", family="noop")
SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "path": "/predict",
    "raw_path": b"/predict",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 1),
    "scheme": "http",
    "root_path": "",
}


class Nothing:
    """A session that does nothing."""

    thread_safe = True

    def __init__(self) -> None:
        self._outputs = {"embedding": np.zeros((1, EMBEDDING_SIZE), dtype=np.float32)}

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._outputs

    def close(self) -> None:
        pass


class Unaccounted:
    """What AccountedSession is without an account."""

    def __init__(self, session: Nothing) -> None:
        self.run = session.run


async def request_s(app: FastAPI, body: bytes) -> float:
    """Seconds of one request."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = dict(SCOPE)
    begun_s = time.perf_counter()
    await app(scope, receive, send)  # type: ignore[arg-type]
    return time.perf_counter() - begun_s


def main() -> None:
    """Print both medians of requests that come in turn; the handler is the async one, which scatters least."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8000)
    options = parser.parse_args()
    body = orjson.dumps({"input_ids": [1] * SEQUENCE_LENGTH})
    told = plain_app.create_plain_app(MODEL, Nothing(), "no-thread-pool")
    plain_app.AccountedRoute, plain_app.AccountedSession = APIRoute, Unaccounted  # type: ignore[misc, assignment]
    silent = plain_app.create_plain_app(MODEL, Nothing(), "no-thread-pool")

    async def measured() -> list[tuple[float, float]]:
        return [(await request_s(silent, body), await request_s(told, body)) for _ in range(options.pairs)]

    without_s, with_s = np.median(asyncio.run(measured())[options.pairs // 10 :], axis=0)
    print(f"without the account {without_s * 1e6:.1f} µs a request, with it {(with_s - without_s) * 1e6:+.1f} µs")


if __name__ == "__main__":
    main()
