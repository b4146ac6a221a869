"""The servers that are loaded here: bare ASGI functions under uvicorn; and how the scripts start them and inferlab."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
START_PATIENCE_S = 30.0
SERVICE_S = 0.005
STALL_S = 1.0
STALL_AT_REQUEST = 2000

Send = Callable[[dict[str, Any]], Awaitable[None]]
requests_seen = 0


async def bare(scope: dict[str, Any], receive: object, send: Send) -> None:
    """Answer at once."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def five_ms(scope: dict[str, Any], receive: object, send: Send) -> None:
    """Answer after 5 ms, any number of requests at a time."""
    if scope["type"] == "http":
        await asyncio.sleep(SERVICE_S)
        await bare(scope, receive, send)


async def stall(scope: dict[str, Any], receive: object, send: Send) -> None:
    """Answer at once, but stop the whole server for one second at one request."""
    global requests_seen
    if scope["type"] == "http":
        requests_seen += 1
        if requests_seen == STALL_AT_REQUEST:
            time.sleep(STALL_S)  # noqa: ASYNC251 (to stop everything is what it is for)
        await bare(scope, receive, send)


@contextlib.contextmanager
def served(function: str, core: int) -> Iterator[str]:
    """One of the functions above under uvicorn, pinned to a core; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"servers:{function}", "--app-dir", str(HERE), "--port", str(port)]
    process = subprocess.Popen(["taskset", "-c", str(core), *command, "--log-level", "error", "--no-access-log"])
    try:
        deadline_s = time.monotonic() + START_PATIENCE_S
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise SystemExit("uvicorn did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def inferlab_load(url: str, core: int, *options: str) -> dict[str, Any]:
    """The JSON of one `inferlab load`, pinned to a core."""
    command = [str(BIN / "inferlab"), "load", url, "--core", str(core), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found
