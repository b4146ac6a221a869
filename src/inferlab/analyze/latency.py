"""Table 1: latency of each configuration under each scenario, and the quantiles that its figure draws."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.analyze.paper import paper_values
from inferlab.analyze.rows import KEYS, Row, table
from inferlab.analyze.statistics import geometric_interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

MINIMUM_FOR_P95 = 20
MINIMUM_FOR_P99 = 100
"""A percentile is shown where at least one request is expected beyond it."""

FAILURES = ["requests_error", "requests_timeout", "requests_rejected"]
PAPER = ("latency_mean_ms", "latency_std_ms")

COLUMNS = {
    "requests": "float64",
    "requests_failed": "float64",
    "latency_mean_s": "float64",
    "latency_mean_low_s": "float64",
    "latency_mean_high_s": "float64",
    "latency_std_s": "float64",
    "latency_p50_s": "float64",
    "latency_p50_low_s": "float64",
    "latency_p50_high_s": "float64",
    "latency_p95_s": "float64",
    "latency_p99_s": "float64",
    "batch_size_mean": "float64",
    "paper_latency_mean_ms": "float64",
    "paper_latency_std_ms": "float64",
}

QUANTILES = (0.01, *(round(0.05 * index, 2) for index in range(1, 20)), 0.99)
QUANTILE_KEYS = tuple(name for name in KEYS if name not in ("outcome", "reason", "hint", "rounds", "rounds_left_out"))


def latency_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row. The mean, with its t interval, is over the rounds' means.

    The median is the geometric mean of the rounds' medians, with the t interval of their logarithms. The standard
    deviation and the upper percentiles are of all measured requests, pooled, since a round has too few for them.
    `requests_failed` counts errors, time-outs and rejections in all blocks, also those that were tried again.
    """
    return table(rows, COLUMNS, [_values(row, confidence) for row in rows])


def latency_quantiles(rows: list[Row]) -> "pd.DataFrame":
    """Long table of the pooled latency quantiles 0.01 to 0.99 of each measured row; columns quantile, latency_s."""
    import pandas as pd

    records = []
    for row in rows:
        if row.measured and row.latencies.size:
            keys = {name: row.keys[name] for name in QUANTILE_KEYS}
            values = zip(QUANTILES, np.quantile(row.latencies, QUANTILES), strict=True)
            records += [{**keys, "quantile": quantile, "latency_s": value} for quantile, value in values]
    return pd.DataFrame.from_records(records, columns=[*QUANTILE_KEYS, "quantile", "latency_s"])


def _values(row: Row, confidence: float) -> dict[str, Any]:
    values: dict[str, Any] = paper_values(row.keys, PAPER)
    if len(row.attempts):
        values["requests_failed"] = int(row.attempts[FAILURES].to_numpy().sum())
    if not row.measured:
        return values
    latencies = row.latencies
    mean = mean_interval(row.values("latency_mean_s"), confidence)
    median = geometric_interval(row.values("latency_p50_s"), confidence)
    values |= {
        "requests": latencies.size,
        "latency_mean_s": mean.value,
        "latency_mean_low_s": mean.low,
        "latency_mean_high_s": mean.high,
        "latency_p50_s": median.value,
        "latency_p50_low_s": median.low,
        "latency_p50_high_s": median.high,
        "batch_size_mean": float(row.by_round("batch_size_mean").mean()),
    }
    if latencies.size > 1:
        values["latency_std_s"] = float(latencies.std(ddof=1))
    if latencies.size >= MINIMUM_FOR_P95:
        values["latency_p95_s"] = float(np.quantile(latencies, 0.95))
    if latencies.size >= MINIMUM_FOR_P99:
        values["latency_p99_s"] = float(np.quantile(latencies, 0.99))
    return values
