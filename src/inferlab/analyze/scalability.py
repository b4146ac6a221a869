"""Table 4: latency and throughput of each configuration against the load on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inferlab.analyze.latency import MINIMUM_FOR_P95, MINIMUM_FOR_P99
from inferlab.analyze.quantiles import quantile_over_rounds
from inferlab.analyze.rows import FAMILY, SCALABILITY, Row, grouped, table
from inferlab.analyze.statistics import NAN, mean_interval
from inferlab.studies.base import ClosedLoop, LoadLevel, RateSearch

if TYPE_CHECKING:
    import pandas as pd

SATURATED = "saturated"
FULL = 0.95
"""From this share of its capacity on a server cannot keep up for long: latency grows for as long as the load lasts."""

PERCENTILES = {"latency_p50": (0.5, 2), "latency_p95": (0.95, MINIMUM_FOR_P95), "latency_p99": (0.99, MINIMUM_FOR_P99)}
"""Quantiles, and the fewest requests for which they are shown."""

COLUMNS = {
    "callers": "float64",
    "items": "float64",
    "share_of_capacity": "float64",
    "offered_rate_per_s": "float64",
    "capacity_per_s": "float64",
    "load": "float64",
    "state": "str",
    "requests": "float64",
    "throughput_mean_per_s": "float64",
    "throughput_low_per_s": "float64",
    "throughput_high_per_s": "float64",
    "items_per_s": "float64",
    "items_low_per_s": "float64",
    "items_high_per_s": "float64",
    "batch_size_mean": "float64",
    **{f"{name}{part}_s": "float64" for name in PERCENTILES for part in ("", "_low", "_high")},
}


def of_scalability(rows: list[Row]) -> list[Row]:
    """The rows of studies of this kind, the A/A twin left out."""
    return [row for row in rows if row.kind == SCALABILITY and not row.keys["twin"]]


def siblings(rows: list[Row]) -> list[list[Row]]:
    """Rows of the same configuration in the same study and set, a list each."""
    return list(grouped(rows, (*FAMILY, "configuration")).values())


def scalability_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row of the studies of scalability; the A/A twin and searches (rate_limit.py) are left out.

    `items` are those of a request: pictures or texts. `callers` is of closed loops, `share_of_capacity` and
    `offered_rate_per_s` of open ones. `capacity_per_s` is the configuration's mean throughput in the closed loop with
    most callers, found in the same rounds, and `load` what is offered over it: where that is FULL or more, `state` says
    that the row is saturated, and its latency depends on how long a block lasts. Percentiles are of all measured
    requests, with Woodruff's interval over rounds (quantiles.py).
    """
    kept = [row for row in of_scalability(rows) if not isinstance(row.scenario, RateSearch)]
    capacities = {id(row): capacity_per_s(group) for group in siblings(kept) for row in group}
    return table(kept, COLUMNS, [_values(row, capacities[id(row)], confidence) for row in kept])


def capacity_per_s(group: Sequence[Row]) -> float:
    """Of rows of one configuration: the mean throughput of the closed loop with most callers; NaN without one.

    Not the highest of all, which would be the luckiest.
    """
    closed = [(row.scenario, row) for row in group if row.measured and isinstance(row.scenario, ClosedLoop)]
    callers = {scenario.callers: row for scenario, row in closed if scenario.items == 1}
    return float(callers[max(callers)].by_round("throughput_per_s").mean()) if callers else NAN


def _values(row: Row, capacity: float, confidence: float) -> dict[str, Any]:
    items = row.scenario.items if isinstance(row.scenario, ClosedLoop) else 1
    values: dict[str, Any] = {"state": "", "items": items}
    match row.scenario:
        case ClosedLoop():
            values["callers"] = row.scenario.callers
        case LoadLevel():
            values["share_of_capacity"] = row.scenario.share_of_capacity
    if not row.measured:
        return values
    rate = mean_interval(row.values("throughput_per_s"), confidence)
    values |= {
        "capacity_per_s": capacity,
        "requests": row.latencies.size,
        "throughput_mean_per_s": rate.value,
        "throughput_low_per_s": rate.low,
        "throughput_high_per_s": rate.high,
        "items_per_s": items * rate.value,
        "items_low_per_s": items * rate.low,
        "items_high_per_s": items * rate.high,
        "batch_size_mean": float(row.by_round("batch_size_mean").mean()),
    }
    if row.keys["loop"] == "open":
        offered = float(row.by_round("offered_rate_per_s").mean())
        values |= {"offered_rate_per_s": offered, "load": offered / capacity}
        values["state"] = SATURATED if offered >= FULL * capacity else ""
    for name, (quantile, fewest) in PERCENTILES.items():
        if row.latencies.size >= fewest:
            found = quantile_over_rounds(row.latencies_by_round, quantile, confidence)
            values |= {f"{name}_s": found.value, f"{name}_low_s": found.low, f"{name}_high_s": found.high}
    return values
