"""SIGTERM under load, and kill -9 of a replica under load, many times: what is lost, and how long until it is ready."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

from endpoint import serving

BODY = json.dumps({"input_ids": [7] * 128})


class Callers:
    """Threads that call until they are told to stop, or until the server says that it stops."""

    def __init__(self, port: int, count: int, until_503: bool) -> None:
        self.statuses: Counter[int] = Counter()
        self.broken: Counter[str] = Counter()
        self.over = threading.Event()
        self._port = port
        self._until_503 = until_503
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for all of them."""
        self.over.set()
        self.join()

    def join(self) -> None:
        """Wait until they have stopped by themselves."""
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.over.is_set():
            try:
                client.request("POST", "/predict/noop", BODY)
                response = client.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.broken[type(error).__name__] += 1
                return
            with self._lock:
                self.statuses[response.status] += 1
            if response.status == 503 and self._until_503:
                return


def replicas_of(pid: int) -> list[int]:
    """The child processes of the server."""
    text = "".join((task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    return [int(child) for child in text.split()]


def is_ready(port: int) -> bool:
    """What /v2/health/ready says."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", "/v2/health/ready")
    status = client.getresponse().status
    client.close()
    return status == 200


def terminate(deployment: str, core: int, times: int) -> None:
    """SIGTERM under load."""
    statuses: Counter[int] = Counter()
    broken: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    for _ in range(times):
        with serving([deployment], core) as (process, port):
            callers = Callers(port, 8, until_503=True)
            time.sleep(1.0)
            process.send_signal(signal.SIGTERM)
            callers.join()
            codes[process.wait(60)] += 1
        statuses += callers.statuses
        broken += callers.broken
    print(f"SIGTERM {times} times: exit codes {dict(codes)}, answers {dict(statuses)}, broken {dict(broken)}")


def kill(deployment: str, core: int, times: int) -> None:
    """kill -9 of the only replica under load."""
    unready_s: list[float] = []
    with serving([deployment], core) as (process, port):
        callers = Callers(port, 8, until_503=False)
        for _ in range(times):
            time.sleep(1.0)
            os.kill(replicas_of(process.pid)[0], signal.SIGKILL)
            killed_s = time.monotonic()
            while is_ready(port):
                pass
            while not is_ready(port):
                time.sleep(0.01)
            unready_s.append(time.monotonic() - killed_s)
        callers.end()
    print(
        f"kill -9 {times} times: answers {dict(callers.statuses)}, broken {dict(callers.broken)}, "
        f"ready again after {statistics.median(unready_s):.2f} s (at most {max(unready_s):.2f} s)"
    )


def main() -> None:
    """Both, and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", default="noop=noop,original,cpu-eager,cores=0")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    terminate(options.deployment, options.core, options.times)
    kill(options.deployment, options.core, options.times)


if __name__ == "__main__":
    main()
