"""Table 2: answered requests per second."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.paper import paper_values
from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

PAPER = ("throughput_mean_per_s", "throughput_std_per_s")

COLUMNS = {
    "throughput_mean_per_s": "float64",
    "throughput_std_per_s": "float64",
    "throughput_low_per_s": "float64",
    "throughput_high_per_s": "float64",
    "offered_rate_per_s": "float64",
    "time_per_item_s": "float64",
    "paper_throughput_mean_per_s": "float64",
    "paper_throughput_std_per_s": "float64",
}


def throughput_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row. Mean and standard deviation are over rounds; the interval is a t interval over rounds.

    `time_per_item_s` is the inverse of the throughput: a request carries one item.
    """
    return table(rows, COLUMNS, [_values(row, confidence) for row in rows])


def _values(row: Row, confidence: float) -> dict[str, Any]:
    values: dict[str, Any] = paper_values(row.keys, PAPER)
    if not row.measured:
        return values
    rates = row.by_round("throughput_per_s")
    estimate = mean_interval(rates.to_numpy(), confidence)
    return values | {
        "throughput_mean_per_s": estimate.value,
        "throughput_std_per_s": float(rates.std(ddof=1)),
        "throughput_low_per_s": estimate.low,
        "throughput_high_per_s": estimate.high,
        "offered_rate_per_s": float(row.by_round("offered_rate_per_s").mean()),
        "time_per_item_s": 1.0 / estimate.value if estimate.value > 0 else None,
    }
