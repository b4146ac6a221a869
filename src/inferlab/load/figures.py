"""The figures of one block, for people who load a server that is not inferlab's."""

import math

import numpy as np

from inferlab.load.batch_means import BatchMeans
from inferlab.load.block import BlockResult
from inferlab.load.timings import ServerTimings

QUANTILES = {
    "latency_p50_s": (0.5, 2),
    "latency_p90_s": (0.9, 10),
    "latency_p95_s": (0.95, 20),
    "latency_p99_s": (0.99, 100),
    "latency_p999_s": (0.999, 10_000),
}
"""A quantile, and how many samples it needs: 1 / (1 - q), for the 99.9th percentile ten times as many."""
FAILURES = ("error", "timeout", "rejected")


def figures(result: BlockResult) -> dict[str, float | str]:
    """Of the measured requests; NaN where there are too few samples, or the server did not tell.

    Latency is of answered requests, from the moment at which each was due; failures are counted by kind. Quantiles are
    measured values: the next higher one where the rank falls between two.
    """
    columns = {name: values[~result.columns["warmup"]] for name, values in result.columns.items()}
    answered = columns["status"] == "ok"
    done_s = columns["done_s"][answered]
    latency_s = done_s - columns["scheduled_s"][answered]
    told = {name: columns[name][answered] for name in ServerTimings._fields}
    sizes = told["batch_size"]
    return {
        "duration_s": result.wall_s,
        "warmup_s": result.warmup_s,
        "requests_ok": int(answered.sum()),
        **{f"requests_{kind}": int((columns["status"] == kind).sum()) for kind in FAILURES},
        "throughput_per_s": result.throughput_per_s,
        "offered_rate_per_s": result.offered_rate_per_s,
        "latency_mean_s": _mean(latency_s),
        "latency_mean_half_width_s": BatchMeans(latency_s[np.argsort(done_s)].tolist()).half_width(),
        **{name: _quantile(latency_s, q, least) for name, (q, least) in QUANTILES.items()},
        "latency_max_s": float(latency_s.max()) if len(latency_s) else math.nan,
        "latency_first_s": _first(result),
        "schedule_lag_p99_s": result.schedule_lag_p99_s,
        "client_cpu_percent": 100 * result.client_cpu_s / result.wall_s if result.wall_s > 0 else math.nan,
        **{
            f"server_{name.removesuffix('_s')}_mean_s": _mean(told[name][~np.isnan(told[name])])
            for name in ServerTimings._fields
            if name.endswith("_s")
        },
        "server_batch_size_mean": _mean(sizes[sizes > 0]),
        "first_error": result.first_error,
    }


def _quantile(values: np.ndarray, q: float, least: int) -> float:
    return float(np.quantile(values, q, method="higher")) if len(values) >= least else math.nan


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _first(result: BlockResult) -> float:
    """Latency of the block's first request, warm-up included: its connection is new, and the server may be cold."""
    columns = result.columns
    if not len(columns["status"]):
        return math.nan
    first = int(np.argmin(columns["sent_s"]))
    answered = columns["status"][first] == "ok"
    return float(columns["done_s"][first] - columns["scheduled_s"][first]) if answered else math.nan
