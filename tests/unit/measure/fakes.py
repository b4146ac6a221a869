"""A host that answers from a script instead of a server, and the settings that a short study needs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inferlab.load.block import Block, BlockResult, ClosedLoad, Phase
from inferlab.measure.settings import Settings
from inferlab.measure.validity import Limits
from inferlab.records import Configuration, PayloadMix, PlannedConfiguration

LIMITS = Limits(
    schedule_lag_p99_s=0.005,
    client_cpu_percent=90,
    machine_cpu_other_percent=100,
    cpu_steal_percent=100,
    little_tolerance=0.1,
)


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "study": "serving",
        "machine_id": "machine",
        "environment_id": "environment",
        "profile": "tiny",
        "seed": 3,
        "rounds": 3,
        "precision": None,
        "max_rounds": None,
        "block_s": 0.1,
        "warmup_s": 0.02,
        "max_requests": 100,
        "attempts": 2,
        "timeout_s": 1.0,
        "cores_granted": 1,
        "limits": LIMITS,
        "mix": PayloadMix(),
        "capacity_callers": 16,
    }
    return Settings(**{**values, **changes})


def planned(path: str, twin: bool = False, cache_share: float = 0, tuned: bool = False) -> PlannedConfiguration:
    names = {"model": "m", "optimization": "original", "target": "t", "path": path, "batching": "none"}
    configuration = Configuration.model_validate({**names, "cache_share": cache_share, "tuned": tuned, "twin": twin})
    return PlannedConfiguration(configuration=configuration, artifact_digest="0")


class ScriptedHost:
    """Answers every request after `latency_s` of its own time line; `lags_s` gives the client's lag of each block."""

    def __init__(self, latency_s: float, lags_s: list[float] | None = None) -> None:
        self.latency_s = latency_s
        self.lags_s = lags_s or []
        self.blocks: list[Block] = []
        self.items: list[int] = []
        self.pid = os.getpid()
        self.cores = tuple(os.sched_getaffinity(0))
        self.open = False
        self.replicas = 1
        self.accelerator_cores: int | None = None

    def wake(self) -> None:
        assert self.open

    def run(self, block: Block, on_phase: Callable[[Phase], None], items: int = 1) -> BlockResult:
        assert self.open
        self.blocks.append(block)
        self.items.append(items)
        on_phase("measured")
        time.sleep(0.02)
        on_phase("finished")
        callers = block.load.callers if isinstance(block.load, ClosedLoad) else 1
        scheduled_s = np.arange(10, dtype=np.float64) * self.latency_s
        done_s = scheduled_s + self.latency_s
        rows = len(scheduled_s)
        durations = dict.fromkeys(("parse_s", "queue_s", "batch_s", "infer_s", "serialize_s"), np.full(rows, 1e-4))
        return BlockResult(
            columns={
                "warmup": np.arange(rows) < 2,
                "scheduled_s": scheduled_s,
                "sent_s": scheduled_s,
                "first_byte_s": done_s,
                "done_s": done_s,
                "status": np.full(rows, "ok"),
                "http_status": np.full(rows, 200, dtype=np.int16),
                **durations,
                "batch_size": np.ones(rows, dtype=np.int16),
                "cached": np.arange(rows) % 2 == 0,
            },
            started_unix_s=1.0,
            throughput_per_s=callers / self.latency_s,
            offered_rate_per_s=float("nan") if isinstance(block.load, ClosedLoad) else block.load.arrivals.rate_per_s,
            schedule_lag_p99_s=self.lags_s.pop(0) if self.lags_s else 0.0,
            client_cpu_s=0.001,
            wall_s=8 * self.latency_s,
            first_error="",
        )


@contextmanager
def serving(hosts: Sequence[ScriptedHost], advance: Callable[[int], None]) -> Iterator[Sequence[ScriptedHost]]:
    """All hosts open, each of them reported, until the context is left."""
    for host in hosts:
        host.open = True
        advance(1)
    try:
        yield hosts
    finally:
        for host in hosts:
            host.open = False
