"""Table 3: what the server used, with the denominators that rule 12 of the measurement states."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.paper import paper_values
from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import Estimate, geometric_interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

PAPER = ("cpu_percent", "accelerator_percent", "memory_percent")

MEANS = {
    "cpu_percent": "cpu_utilization_percent",
    "memory_pss_mib": "memory_pss_mib",
    "memory_percent": "memory_utilization_percent",
    "accelerator_percent": "accelerator_utilization_percent",
}
"""Column of the table: column of the blocks. CPU is in percent of the cores granted, memory of the machine's."""

COLUMNS = {
    "cores_granted": "float64",
    **{f"{name}{bound}": "float64" for name in MEANS for bound in ("", "_low", "_high")},
    "cpu_s_per_request": "float64",
    "cpu_s_per_request_low": "float64",
    "cpu_s_per_request_high": "float64",
    "offered_rate_per_s": "float64",
    "paper_cpu_percent": "float64",
    "paper_accelerator_percent": "float64",
    "paper_memory_percent": "float64",
}


def utilization_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row: means over rounds with t intervals; CPU-seconds per request as a geometric mean.

    Memory is the mean over rounds of the peak proportional set size of the server's process tree.
    """
    return table(rows, COLUMNS, [_values(row, confidence) for row in rows])


def _values(row: Row, confidence: float) -> dict[str, Any]:
    values: dict[str, Any] = paper_values(row.keys, PAPER)
    if not row.measured:
        return values
    for name, column in MEANS.items():
        values |= _with_bounds(name, mean_interval(row.values(column), confidence))
    cost = geometric_interval(row.values("cpu_s_per_request"), confidence)
    values |= _with_bounds("cpu_s_per_request", cost)
    values["cores_granted"] = float(row.blocks["cores_granted"].iloc[0])
    values["offered_rate_per_s"] = float(row.by_round("offered_rate_per_s").mean())
    return values


def _with_bounds(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
