"""Requests per second of server stacks around a model that does nothing, in interleaved rounds.

One core for everything of the server, the load generator `hey` (https://github.com/rakyll/hey, Debian package hey) on
another. See README.md beside this file for the environment that the other stacks need.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
STACKS = HERE / "stacks"
PORT = 8101
URL = f"http://127.0.0.1:{PORT}/predict/noop"
BODY = json.dumps({"input_ids": list(range(1, 129))})
START_PATIENCE_S = 120.0


def commands(ours: str, others: str) -> dict[str, list[str]]:
    """How each stack is started; `ours` and `others` are folders with the programs of the two environments."""
    python, other = f"{ours}/python", f"{others}/python"
    return {
        "inferlab": [f"{ours}/inferlab", "serve", "--port", str(PORT), "noop=noop,original,cpu-eager,cores=SERVER"],
        "fastapi-raw": [python, str(STACKS / "raw_fastapi.py")],
        "fastapi-plain": [python, str(STACKS / "plain_fastapi.py")],
        "litserve": [other, str(STACKS / "lit_serve.py"), "1"],
        "litserve-batch-8": [other, str(STACKS / "lit_serve.py"), "8"],
        "bentoml": [f"{others}/bentoml", "serve", "bento:Noop", "--port", str(PORT), "--working-dir", str(STACKS)],
        "ray-serve": [other, str(STACKS / "ray_serve.py")],
    }


@contextlib.contextmanager
def running(command: list[str], core: int) -> Iterator[None]:
    """The stack, pinned, until the block ends."""
    command = [part.replace("SERVER", str(core)) for part in command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0"}
    _await_free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            _await_answer(process, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_free_port() -> None:
    """The stack before may have left a process that still listens."""
    deadline_s = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) != 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"something listens on port {PORT}")


def _await_answer(process: subprocess.Popen[bytes], log: object) -> None:
    deadline_s = time.monotonic() + START_PATIENCE_S
    request = urllib.request.Request(URL, BODY.encode(), {"Content-Type": "application/json"})
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            content = json.loads(answer.read())
            embedding = content["embedding"]
            assert len(embedding) == 384, content
            return
        if process.poll() is not None or time.monotonic() > deadline_s:
            log.seek(0)  # type: ignore[attr-defined]
            raise SystemExit(f"{process.args} does not answer:\n{log.read().decode()[-3000:]}")  # type: ignore[attr-defined]
        time.sleep(0.2)


def load(clients: int, seconds: float, core: int) -> dict[str, float]:
    """What hey reports; every answer must be 200."""
    options = ["-z", f"{seconds}s", "-c", str(clients)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as body:
        body.write(BODY)
        body.flush()
        report = subprocess.run(
            ["taskset", "-c", str(core), "hey", *options, "-m", "POST", "-T", "application/json", "-D", body.name, URL],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    statuses = re.findall(r"\[(\d+)\]\s+(\d+) responses", report)
    if [status for status, _ in statuses] != ["200"] or "Error distribution" in report:
        raise SystemExit(f"not every answer was 200:\n{report}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", report)
    median = re.search(r"50%+ in ([\d.]+) secs", report)
    assert found is not None
    assert median is not None
    return {"requests_per_s": float(found[1]), "p50_s": float(median[1])}


def main() -> None:
    """Print one row a stack and number of clients, with the spread over rounds, and the ratios to inferlab."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", default=str(Path(sys.executable).parent), help="bin folder of inferlab's environment")
    parser.add_argument(
        "--others", help="bin folder of the environment of the other stacks; without it they are left out"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the server and of the load generator")
    parser.add_argument("--json", type=Path, help="write every measurement there")
    options = parser.parse_args()
    stacks = commands(options.ours, options.others or "")
    if options.others is None:
        stacks = {name: command for name, command in stacks.items() if command[0].startswith(options.ours)}
    server, client = options.cores
    found: list[dict[str, object]] = []
    for number in range(options.rounds):
        order = random.Random(number).sample(sorted(stacks), len(stacks))
        for name in order:
            with running(stacks[name], server):
                load(8, 1.0, client)  # warm-up
                for clients in options.clients:
                    row = {"round": number, "stack": name, "clients": clients}
                    found.append({**row, **load(clients, options.seconds, client)})
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    for clients in options.clients:
        table = {
            name: [row["requests_per_s"] for row in found if row["stack"] == name and row["clients"] == clients]
            for name in stacks
        }
        own = table["inferlab"]
        print(f"\n{clients} client(s): requests/s, median (minimum to maximum); inferlab's over it, median of rounds")
        for name, values in table.items():
            ratio = statistics.median(mine / other for mine, other in zip(own, values, strict=True))  # type: ignore[operator]
            middle = statistics.median(values)  # type: ignore[type-var]
            print(f"{name:18s} {middle:9.0f} ({min(values):.0f} to {max(values):.0f})   {ratio:6.2f}")  # type: ignore[type-var]


if __name__ == "__main__":
    main()
