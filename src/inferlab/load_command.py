"""`inferlab load`: load any server over HTTP, and say how it did and whether the client was up to it."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from inferlab.files import whole_file
from inferlab.load.block import Block, BlockResult, ClosedLoad, HttpRequests, Phase
from inferlab.load.ceiling import measure_ceiling
from inferlab.load.figures import figures
from inferlab.load.process import LoadProcess
from inferlab.load_options import LoadOptions, allowed_cores, block_of, check_requests_out
from inferlab.load_requests import requests_of
from inferlab.load_text import as_text
from inferlab.measure.telemetry.cpu import machine_cpu
from inferlab.measure.telemetry.throttling import Throttling
from inferlab.measure.validity import Evidence, Limits, why_invalid
from inferlab.progress import progress

LIMITS = Limits(
    schedule_lag_p99_s=0.005,
    client_cpu_percent=90.0,
    machine_cpu_other_percent=15.0,
    cpu_steal_percent=5.0,
    little_tolerance=0.1,
)
"""As in params.yaml `validity:`, which need not be where a server is loaded."""
SHOW_PROGRESS_FROM_S = 5.0
CEILING_CALLERS = 8
"""Of the ceiling in an open loop."""
NAN = float("nan")


def run(options: LoadOptions, *, as_json: bool) -> int:
    """Load, print the figures, and return the exit code: 0, 1 where no request was answered, 130 after Ctrl-C.

    Raises UserError before any work for what is wrong with the options, MeasurementError where the client fails.
    """
    requests = requests_of(options.url, options.headers, options.bodies)
    block = block_of(options)
    cores = allowed_cores(options.core)
    check_requests_out(options.requests_out)
    with LoadProcess(cores) as client:
        ceiling_per_s = (
            measure_ceiling(client, requests, _callers(block) or CEILING_CALLERS) if options.ceiling else NAN
        )
        watched = _Watched(client)
        result = watched.run(requests, block)
    found: dict[str, Any] = {**figures(result), "ceiling_per_s": ceiling_per_s, "scenario": options.scenario}
    reason, advice = _judge(found, block, watched)
    found |= {"outcome": "invalid" if reason else "measured", "reason": reason, "advice": advice}
    if options.requests_out is not None:
        _write_requests(options.requests_out, result)
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in found.items()
    }
    print(json.dumps(plain, indent=1) if as_json else as_text(plain, block))
    if watched.interrupted:
        return 130
    return 0 if found["requests_ok"] else 1


class _Watched:
    """One block, with what the machine did meanwhile. Ctrl-C ends it early; a second one ends it without a result."""

    def __init__(self, client: LoadProcess) -> None:
        self._client = client
        self._steal_s: dict[Phase, float] = {}
        self._throttling = Throttling()
        self._counts_throttling = self._throttling.start(()) is None
        self.throttled = 0
        """Events meanwhile, as far as they are counted here."""
        self.interrupted = False

    def run(self, requests: HttpRequests, block: Block) -> BlockResult:
        """Raises KeyboardInterrupt where Ctrl-C comes before the measured part, or twice."""
        with self._ending_on_interrupt(), _ticking(block.warmup_s + block.block_s):
            return self._client.run(requests, block, self._on_phase)

    def steal_s(self) -> float:
        """CPU seconds of the whole machine that the hypervisor took meanwhile."""
        return self._steal_s["finished"] - self._steal_s["measured"]

    def _on_phase(self, phase: Phase) -> None:
        self._steal_s[phase] = machine_cpu().steal_s
        if self._counts_throttling and phase == "measured":
            self._throttling.begin()
        elif self._counts_throttling:
            self.throttled = self._throttling.events()

    @contextmanager
    def _ending_on_interrupt(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self.interrupted or "measured" not in self._steal_s:
                raise KeyboardInterrupt
            self.interrupted = True
            print("inferlab: ending; Ctrl-C once more ends without a result", file=sys.stderr, flush=True)
            self._client.end()

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _judge(found: dict[str, Any], block: Block, watched: _Watched) -> tuple[str, str]:
    """(reason, advice); the reason is empty where the block is valid. What the server does wrong is no reason."""
    if watched.interrupted:
        return f"stopped by Ctrl-C after {found['duration_s']:.1f} s of at most {block.block_s:g} s", "let it run"
    if not found["requests_ok"]:
        return "no request was answered", f"the first one: {found['first_error'] or 'none was due'}"
    wall_s, callers = found["duration_s"], _callers(block)
    reason, advice = why_invalid(
        Evidence(
            requests_ok=found["requests_ok"],
            requests_failed=0,
            schedule_lag_p99_s=found["schedule_lag_p99_s"],
            client_cpu_percent=found["client_cpu_percent"],
            machine_cpu_other_percent=NAN,
            cpu_steal_percent=100 * watched.steal_s() / (wall_s * (os.cpu_count() or 1)),
            throttle_events=watched.throttled,
            callers_by_little=NAN,
            callers=NAN,
            served_share=NAN,
        ),
        LIMITS,
    )
    if reason:
        return reason, advice
    if found["throughput_per_s"] > found["ceiling_per_s"] * LIMITS.client_cpu_percent / 100:
        return (
            f"the load client sends at most {found['ceiling_per_s']:,.0f} requests/s, so it was the bottleneck",
            "give it a faster core of its own, or load from several machines",
        )
    if math.isnan(found["warmup_s"]):
        return "the latency did not settle in the first half", "a longer --duration, or --warmup in seconds"
    under_way = found["throughput_per_s"] * found["latency_mean_s"]
    failed = sum(found[name] for name in ("requests_error", "requests_timeout", "requests_rejected"))
    if callers and not failed and abs(under_way / callers - 1) > LIMITS.little_tolerance:
        return (
            f"Little's law does not hold: throughput × latency is {under_way:.2f}, clients are {callers}",
            "a longer --duration",
        )
    return "", _remark(found, block)


def _remark(found: dict[str, Any], block: Block) -> str:
    """Advice on figures that can be trusted."""
    offered = found["offered_rate_per_s"] * found["duration_s"]
    # Whole requests are counted, so that one more or less at the window's edge says nothing.
    if found["throughput_per_s"] * found["duration_s"] + 1 < offered * (1 - LIMITS.little_tolerance):
        share = found["throughput_per_s"] / found["offered_rate_per_s"]
        return f"only {share:.0%} of the offered rate was answered; a lower --rate shows what the server can do"
    target = None if block.stop is None else block.stop.precision
    if target is not None and not found["latency_mean_half_width_s"] <= target * found["latency_mean_s"]:
        return f"the mean latency is not known to {100 * target:g} %; a longer --max-duration helps"
    return ""


def _callers(block: Block) -> int:
    """0 in an open loop."""
    return block.load.callers if isinstance(block.load, ClosedLoad) else 0


@contextmanager
def _ticking(total_s: float) -> Iterator[None]:
    """Progress by the clock, since the client tells nothing while it measures."""
    if total_s <= SHOW_PROGRESS_FROM_S:
        yield
        return
    over = threading.Event()
    with progress(math.ceil(total_s), "seconds of load") as advance:

        def tick() -> None:
            while not over.wait(1.0):
                advance(1)

        thread = threading.Thread(target=tick, name="progress")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _write_requests(path: Path, result: BlockResult) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole_file(path) as part:
        pq.write_table(pa.table(dict(result.columns)), part, compression="zstd")
