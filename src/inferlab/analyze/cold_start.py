"""Cold start: from the start of a server's process to its first answer, and what that time went to."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.quality import ORIGINAL
from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import geometric_interval, paired_ratio
from inferlab.studies.base import ProcessStart

if TYPE_CHECKING:
    import pandas as pd

BASE = "cpu-eager"
"""What the user has: rule 11 of DESIGN."""

SECONDS = {
    "first_answer": "latency_p50_s",
    **{name.removesuffix("_s"): name for name in ProcessStart.COLUMNS},
    "cpu": "cpu_s",
}
"""Columns of the table, without their unit, and of the blocks."""

COLUMNS = {
    "starts": "float64",
    **{f"{name}{bound}_s": "float64" for name in SECONDS for bound in ("", "_low", "_high")},
    "times_base": "float64",
    "times_base_low": "float64",
    "times_base_high": "float64",
}


def cold_start_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a configuration and scenario of cold starts (the A/A twin left out).

    Times are geometric means over rounds with the t interval of the logarithms, since a first run takes now and then
    ten times as long as usual.

    `ready_s` and `first_answer_s` count from the process's start, `cpu_s` is what the server used from then to its
    second answer; the others are durations (studies.base.ProcessStart). `times_base` is the ratio of `first_answer_s`
    to that of the original model on BASE behind the same path and batching, paired by round.
    """
    kept = [row for row in rows if isinstance(row.scenario, ProcessStart) and not row.keys["twin"]]
    return table(kept, COLUMNS, [_values(row, kept, confidence) for row in kept])


def _values(row: Row, rows: list[Row], confidence: float) -> dict[str, Any]:
    if not row.measured:
        return {}
    values: dict[str, Any] = {"starts": len(row.blocks)}
    for name, column in SECONDS.items():
        found = geometric_interval(row.values(column), confidence)
        values |= {f"{name}_s": found.value, f"{name}_low_s": found.low, f"{name}_high_s": found.high}
    same = {name: row.keys[name] for name in ("study", "model", "path", "batching", "scenario")}
    wanted = {**same, "target": BASE, "optimization": ORIGINAL}
    for other in rows:
        is_base = all(other.keys[name] == value for name, value in wanted.items())
        if is_base and other is not row and other.measured and other.results is row.results:
            ratio = paired_ratio(row.by_round("latency_p50_s"), other.by_round("latency_p50_s"), confidence)
            values |= {"times_base": ratio.ratio, "times_base_low": ratio.low, "times_base_high": ratio.high}
    return values
