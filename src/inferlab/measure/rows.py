"""From a block's result and what was observed meanwhile to rows of requests.parquet and blocks.parquet."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from inferlab.load.block import BlockResult
from inferlab.measure.observer import Account
from inferlab.measure.validity import Evidence, Limits, why_invalid
from inferlab.records import BLOCK_COLUMNS, REQUEST_COLUMNS

QUANTILES = {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
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
    client_cpu_percent = 100 * result.client_cpu_s / result.wall_s if result.wall_s > 0 else math.nan
    offered = result.offered_rate_per_s * result.wall_s
    evidence = Evidence(
        requests_ok=int(answered.sum()),
        requests_failed=int((~answered).sum()),
        schedule_lag_p99_s=result.schedule_lag_p99_s,
        client_cpu_percent=client_cpu_percent,
        machine_cpu_other_percent=observed["machine_cpu_other_percent"],
        cpu_steal_percent=observed["cpu_steal_percent"],
        throttle_events=int(np.nan_to_num(observed.get("throttle_events", 0))),
        callers_by_little=result.throughput_per_s * _mean(latency_s) if callers else math.nan,
        callers=callers or math.nan,
        # Throughput counts whole requests, so one more or less at the window's edge says nothing.
        served_share=math.nan
        if callers or may_saturate
        else (result.throughput_per_s * result.wall_s + 1) / max(offered, 1),
    )
    reason, advice = why_invalid(evidence, limits)
    if result.first_error:
        reason = f"{reason} (first: {result.first_error})"
    # CPU time is counted while measured requests are under way, and so are the unmeasured ones answered meanwhile.
    in_window = (result.columns["status"] == "ok") & (result.columns["done_s"] >= key["warmup_s"])
    answered_meanwhile = int(in_window.sum())
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
        "latency_mean_s": _mean(latency_s),
        "latency_std_s": float(latency_s.std(ddof=1)) if len(latency_s) > 1 else math.nan,
        **{name: float(np.quantile(latency_s, q)) if len(latency_s) else math.nan for name, q in QUANTILES.items()},
        "latency_max_s": float(latency_s.max()) if len(latency_s) else math.nan,
        "batch_size_mean": _mean(batch_size),
        "cache_hit_share": _mean(columns["cached"][answered]) if key["cache_share"] else math.nan,
        "cores_granted": cores_granted,
        **{
            f"{name}_per_request": observed.get(name, math.nan) / answered_meanwhile if answered_meanwhile else math.nan
            for name in ("cpu_s", "energy_j", "accelerator_energy_j")
        },
        "telemetry_absent": json.dumps(account.absent, sort_keys=True),
        "client_cpu_percent": client_cpu_percent,
        "schedule_lag_p99_s": result.schedule_lag_p99_s,
        "outcome": "invalid" if reason else "measured",
        "reason": reason,
        "advice": advice,
    }
    return {name: row[name] for name in (*BLOCK_COLUMNS, *sorted(set(observed) - set(BLOCK_COLUMNS)))}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
