"""From a block's result and what was observed meanwhile to rows of requests.parquet and blocks.parquet."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.load.block import BlockResult
from inferlab.measure.observer import Account
from inferlab.measure.validity import Evidence, Limits, why_invalid

QUANTILES = {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
PER_REQUEST = ("cpu_s", "energy_j", "accelerator_energy_j")
CLOCK_DIGITS = 7
"""Times are stored to 0.1 µs."""


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
    account: Account,
    callers: int | None,
    cores_granted: int,
    limits: Limits,
    key: dict[str, Any],
    *,
    may_saturate: bool = False,
) -> dict[str, Any]:
    """One row for the block: BLOCK_COLUMNS, and columns that a telemetry source has beyond them.

    `callers` is None in an open loop. `may_saturate` is true where the scenario asks what an overloaded server does:
    that it cannot keep up is no fault.
    """
    observed = account.values
    columns = {name: values[~result.columns["warmup"]] for name, values in result.columns.items()}
    status = columns["status"]
    answered = status == "ok"
    latency_s = (columns["done_s"] - columns["scheduled_s"])[answered]
    evidence = _evidence(result, observed, status, latency_s, callers, may_saturate=may_saturate)
    reason, advice = why_invalid(evidence, limits)
    if result.first_error:
        reason = f"{reason} (first: {result.first_error})"
    batch_size = columns["batch_size"][answered & (columns["batch_size"] > 0)]
    row = {
        **dict.fromkeys(BLOCK_COLUMNS, math.nan),
        **observed,
        **key,
        # What a test double answered must not pass for the machine.
        "provenance": "fake" if account.provenance == "fake" else key["provenance"],
        "duration_s": result.wall_s,
        "started_unix_s": result.started_unix_s,
        "requests_ok": evidence.requests_ok,
        **{f"requests_{kind}": int((status == kind).sum()) for kind in ("error", "timeout", "rejected")},
        "offered_rate_per_s": result.offered_rate_per_s,
        "throughput_per_s": result.throughput_per_s,
        **_latencies(latency_s),
        "batch_size_mean": _mean(batch_size),
        "cache_hit_share": _mean(columns["cached"][answered]) if key["cache_share"] else math.nan,
        "cores_granted": cores_granted,
        **_per_request(result, observed, key["warmup_s"]),
        "telemetry_absent": json.dumps(account.absent, sort_keys=True),
        "client_cpu_percent": evidence.client_cpu_percent,
        "schedule_lag_p99_s": result.schedule_lag_p99_s,
        "outcome": "invalid" if reason else "measured",
        "reason": reason,
        "advice": advice,
    }
    return {name: row[name] for name in (*BLOCK_COLUMNS, *sorted(set(observed) - set(BLOCK_COLUMNS)))}


def _evidence(
    result: BlockResult,
    observed: Mapping[str, float],
    status: np.ndarray,
    latency_s: np.ndarray,
    callers: int | None,
    *,
    may_saturate: bool,
) -> Evidence:
    """`status` is of the measured requests, `latency_s` of those of them that were answered."""
    served_share = math.nan
    if not (callers or may_saturate):
        # Throughput counts whole requests, so one more or less at the window's edge says nothing.
        offered = result.offered_rate_per_s * result.wall_s
        served_share = (result.throughput_per_s * result.wall_s + 1) / max(offered, 1)
    return Evidence(
        requests_ok=len(latency_s),
        requests_failed=len(status) - len(latency_s),
        schedule_lag_p99_s=result.schedule_lag_p99_s,
        client_cpu_percent=100 * result.client_cpu_s / result.wall_s if result.wall_s > 0 else math.nan,
        machine_cpu_other_percent=observed["machine_cpu_other_percent"],
        cpu_steal_percent=observed["cpu_steal_percent"],
        throttle_events=int(np.nan_to_num(observed.get("throttle_events", 0))),
        accelerator_other_processes=observed.get("accelerator_other_processes", math.nan),
        callers_by_little=result.throughput_per_s * _mean(latency_s) if callers else math.nan,
        callers=callers or math.nan,
        served_share=served_share,
    )


def _latencies(latency_s: np.ndarray) -> dict[str, float]:
    if not len(latency_s):
        return {}
    return {
        "latency_mean_s": _mean(latency_s),
        "latency_std_s": float(latency_s.std(ddof=1)) if len(latency_s) > 1 else math.nan,
        **{name: float(np.quantile(latency_s, q)) for name, q in QUANTILES.items()},
        "latency_max_s": float(latency_s.max()),
    }


def _per_request(result: BlockResult, observed: Mapping[str, float], warmup_s: float) -> dict[str, float]:
    """CPU time and energy of a request.

    They are counted while measured requests are under way, and so are the unmeasured ones answered meanwhile.
    """
    in_window = (result.columns["status"] == "ok") & (result.columns["done_s"] >= warmup_s)
    answered = int(in_window.sum()) or math.nan
    return {f"{name}_per_request": observed.get(name, math.nan) / answered for name in PER_REQUEST}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
