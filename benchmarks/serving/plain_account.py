"""What the ordinary handler's account of a request costs: FastAPI without HTTP, with the account and without."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute

from inferlab.models.noop import EMBEDDING_SIZE, SEQUENCE_LENGTH, Noop
from inferlab.serve import plain_app
from inferlab.serve.plain_account import ACCOUNT, Account

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


async def request_s(app: FastAPI, body: bytes, count: int) -> float:
    """Seconds of one request, the mean of `count`."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    begun_s = time.perf_counter()
    for _ in range(count):
        await app(dict(SCOPE), receive, send)  # type: ignore[arg-type]
    return (time.perf_counter() - begun_s) / count


def main() -> None:
    """Print the median difference over rounds, in which both come in turn; the handler is the async one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    body = orjson.dumps({"input_ids": [1] * SEQUENCE_LENGTH})
    told = plain_app.create_plain_app(MODEL, Nothing(), "no-thread-pool")
    plain_app.AccountedRoute, plain_app.AccountedSession = APIRoute, Unaccounted  # type: ignore[misc, assignment]
    silent = plain_app.create_plain_app(MODEL, Nothing(), "no-thread-pool")
    ACCOUNT.set(Account())

    async def measured() -> list[tuple[float, float]]:
        found = []
        for number in range(options.rounds + 2):
            apps = (told, silent) if number % 2 else (silent, told)
            times = {id(app): await request_s(app, body, options.count) for app in apps}
            found.append((times[id(told)], times[id(silent)]))
        return found[2:]

    pairs = asyncio.run(measured())
    differences = sorted((with_s - without_s) * 1e6 for with_s, without_s in pairs)
    low, high = np.quantile(differences, [0.1, 0.9])
    print(
        f"without {statistics.median(without_s for _, without_s in pairs) * 1e6:.1f} µs a request; the account adds "
        f"{statistics.median(differences):.2f} µs (80 % of rounds: {low:.2f} to {high:.2f})"
    )


if __name__ == "__main__":
    main()
