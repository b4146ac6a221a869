"""MLPerf LoadGen (mlcommons-loadgen) against a URL: throughput and p50 as JSON. Runs in an environment of its own."""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import socket
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

import mlperf_loadgen as lg

CONNECTIONS = 32
OK = b"HTTP/1.1 200 "
FRAMED = re.compile(rb"HTTP/1.1 200 .*?\r\ncontent-length: (\d+)\r\n(?:.*?\r\n)?\r\n", re.DOTALL | re.IGNORECASE)
SUMMARY = {
    "SingleStream": {
        "p50_ns": r"50\.00 percentile latency \(ns\)\s*: (\d+)",
        "per_s": r"QPS w/ loadgen overhead\s*: ([\d.]+)",
    },
    "Server": {
        "p50_ns": r"50\.00 percentile latency \(ns\)\s*: (\d+)",
        "per_s": r"Completed samples per second\s*: ([\d.]+)",
    },
}


class Sender:
    """Threads with a connection each, which take queries from a queue.

    They speak just as much HTTP/1.1 as the servers here need: what a whole client takes per request is not LoadGen's.
    """

    def __init__(self, url: str, count: int) -> None:
        self._parts = urlsplit(url)
        self._queries: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def issue(self, samples: list[lg.QuerySample]) -> None:
        """LoadGen's callback: never waits."""
        for sample in samples:
            self._queries.put(sample.id)

    def stop(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._queries.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        host, port = self._parts.hostname or "", self._parts.port or 80
        message = f"GET {self._parts.path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        with socket.create_connection((host, port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (query := self._queries.get()) is not None:
                connection.sendall(message)
                _read_answer(connection)
                lg.QuerySamplesComplete([lg.QuerySampleResponse(query, 0, 0)])


def _read_answer(connection: socket.socket) -> None:
    """Read one whole answer with a Content-Length. Ends the program where there is none: LoadGen would wait for it."""
    answer = b""
    while not (framed := FRAMED.match(answer)) or len(answer) < framed.end() + int(framed[1]):
        received = connection.recv(65536)
        answer += received
        if not received or not OK.startswith(answer[: len(OK)]):
            print(f"the server answered {answer[:200]!r}", file=sys.stderr)
            os._exit(1)


def main() -> None:
    """Run one scenario and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--scenario", choices=sorted(SUMMARY), required=True)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--duration", type=float, default=10.0)
    options = parser.parse_args()
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, options.scenario)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = settings.max_duration_ms = round(options.duration * 1e3)
    settings.min_query_count = 100
    settings.server_target_qps = options.rate
    settings.server_target_latency_ns = 10**9
    sender = Sender(options.url, 1 if options.scenario == "SingleStream" else CONNECTIONS)
    system = lg.ConstructSUT(sender.issue, lambda: None)
    samples = lg.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        log = lg.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        lg.StartTestWithLogSettings(system, samples, settings, log)
        text = (Path(folder) / "mlperf_log_summary.txt").read_text()
    lg.DestroyQSL(samples)
    lg.DestroySUT(system)
    sender.stop()
    found = {name: re.search(pattern, text) for name, pattern in SUMMARY[options.scenario].items()}
    if None in found.values():
        raise SystemExit(f"LoadGen's summary lacks a figure:\n{text}")
    print(json.dumps({name: float(match[1]) for name, match in found.items() if match}))


if __name__ == "__main__":
    main()
