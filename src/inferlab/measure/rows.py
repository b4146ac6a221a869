"""From a block's result and what was observed meanwhile to rows of requests.parquet and blocks.parquet."""

import math
import os
import time
from typing import Any

import numpy as np
import pandas as pd

from inferlab.load.block import BlockResult, Phase
from inferlab.measure.telemetry.cpu import TICKS_PER_S, machine_cpu, tree_cpu_s
from inferlab.measure.telemetry.memory import machine_memory_mib, reset_tree_peak, tree_peak_pss_mib
from inferlab.measure.telemetry.throttling import throttle_events
from inferlab.measure.validity import Evidence, Limits, why_invalid
from inferlab.records import BLOCK_COLUMNS, REQUEST_COLUMNS

QUANTILES = {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
CLOCK_DIGITS = 7
"""Times are stored to 0.1 µs."""


class Observer:
    """Counters of the server's process tree and of the machine, read when the measured part begins and when it ends."""

    def __init__(self, server_pid: int) -> None:
        self._pid = server_pid
        self._readings: dict[Phase, dict[str, float]] = {}

    def on_phase(self, phase: Phase) -> None:
        """Read every counter; called at both ends of the measured part."""
        if phase == "measured":
            reset_tree_peak(self._pid)
        machine = machine_cpu()
        self._readings[phase] = {
            "time_s": time.monotonic(),
            "server_cpu_s": tree_cpu_s(self._pid),
            "own_cpu_s": time.process_time(),
            "busy_s": machine.busy_s,
            "steal_s": machine.steal_s,
            "throttle_events": throttle_events(),
        }

    def account(self, client_cpu_s: float, cores_granted: int) -> dict[str, float]:
        """Differences between both ends. Percent of the granted cores for the server, of the machine for the rest."""
        begin, end = self._readings["measured"], self._readings["finished"]
        used = {key: end[key] - begin[key] for key in begin}
        wall_s, cores = used["time_s"], machine_cpu().cores
        # The machine's counters go in ticks: each core's may be one off, which a short block must not take for work.
        rounding_s = cores / TICKS_PER_S
        known_s = (
            rounding_s + used["server_cpu_s"] + used["own_cpu_s"] + (0.0 if math.isnan(client_cpu_s) else client_cpu_s)
        )
        return {
            "cpu_s": used["server_cpu_s"],
            "cpu_utilization_percent": 100 * used["server_cpu_s"] / (wall_s * cores_granted),
            "machine_cpu_other_percent": max(0.0, 100 * (used["busy_s"] - known_s) / (wall_s * cores)),
            "cpu_steal_percent": 100 * used["steal_s"] / (wall_s * cores),
            "throttle_events": used["throttle_events"],
            "memory_pss_mib": (pss_mib := tree_peak_pss_mib(self._pid)),
            "memory_utilization_percent": 100 * pss_mib / machine_memory_mib(),
            "load_average_1m": os.getloadavg()[0],
        }


def request_rows(result: BlockResult, key: dict[str, Any]) -> pd.DataFrame:
    """One row a request, warm-up marked, with the columns of REQUEST_COLUMNS."""
    # Digits below the clock's resolution would be most of what is stored.
    columns = {
        name: values.round(CLOCK_DIGITS) if values.dtype.kind == "f" else values
        for name, values in result.columns.items()
    }
    frame = pd.DataFrame(columns).assign(**key)
    return frame[list(REQUEST_COLUMNS)].astype(REQUEST_COLUMNS)


def block_row(
    result: BlockResult,
    account: dict[str, float],
    callers: int | None,
    cores_granted: int,
    limits: Limits,
    key: dict[str, Any],
) -> dict[str, Any]:
    """One row for the block: BLOCK_COLUMNS. `callers` is None in an open loop."""
    columns = {name: values[~result.columns["warmup"]] for name, values in result.columns.items()}
    status = columns["status"]
    answered = status == "ok"
    latency_s = (columns["done_s"] - columns["scheduled_s"])[answered]
    client_cpu_percent = 100 * result.client_cpu_s / result.wall_s if result.wall_s > 0 else math.nan
    offered = result.offered_rate_per_s * result.wall_s
    evidence = Evidence(
        requests_ok=int(answered.sum()),
        requests_failed=int((~answered).sum()),
        schedule_lag_p99_s=result.schedule_lag_p99_s,
        client_cpu_percent=client_cpu_percent,
        machine_cpu_other_percent=account["machine_cpu_other_percent"],
        cpu_steal_percent=account["cpu_steal_percent"],
        throttle_events=int(account["throttle_events"]),
        callers_by_little=result.throughput_per_s * _mean(latency_s) if callers else math.nan,
        callers=callers or math.nan,
        # Throughput counts whole requests, so one more or less at the window's edge says nothing.
        served_share=math.nan if callers else (result.throughput_per_s * result.wall_s + 1) / max(offered, 1),
    )
    reason, advice = why_invalid(evidence, limits)
    if result.first_error:
        reason = f"{reason} (first: {result.first_error})"
    # CPU time is counted while measured requests are under way, and so are the unmeasured ones answered meanwhile.
    in_window = (result.columns["status"] == "ok") & (result.columns["done_s"] >= key["warmup_s"])
    answered_meanwhile = int(in_window.sum())
    batch_size = columns["batch_size"][answered & (columns["batch_size"] > 0)]
    row = {
        **key,
        **{name: value for name, value in account.items() if name in BLOCK_COLUMNS},
        "duration_s": result.wall_s,
        "started_unix_s": result.started_unix_s,
        "requests_ok": evidence.requests_ok,
        **{f"requests_{kind}": int((status == kind).sum()) for kind in ("error", "timeout", "rejected")},
        "offered_rate_per_s": result.offered_rate_per_s,
        "throughput_per_s": result.throughput_per_s,
        "latency_mean_s": _mean(latency_s),
        "latency_std_s": float(latency_s.std(ddof=1)) if len(latency_s) > 1 else math.nan,
        **{name: float(np.quantile(latency_s, q)) if len(latency_s) else math.nan for name, q in QUANTILES.items()},
        "latency_max_s": float(latency_s.max()) if len(latency_s) else math.nan,
        "batch_size_mean": _mean(batch_size),
        "cache_hit_share": _mean(columns["cached"][answered]) if key["cache_share"] else math.nan,
        "cores_granted": cores_granted,
        "cpu_s_per_request": account["cpu_s"] / answered_meanwhile if answered_meanwhile else math.nan,
        "accelerator_utilization_percent": math.nan,
        "energy_j": math.nan,
        "client_cpu_percent": client_cpu_percent,
        "schedule_lag_p99_s": result.schedule_lag_p99_s,
        "outcome": "invalid" if reason else "measured",
        "reason": reason,
        "advice": advice,
    }
    return {name: row[name] for name in BLOCK_COLUMNS}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
