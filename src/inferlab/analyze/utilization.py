"""Table 3: what the server used, with the denominators that rule 12 of the measurement states."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferlab.analyze.paper import paper_values
from inferlab.analyze.results import ResultSet
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

COSTS = ("cpu_s_per_request", "energy_j_per_request", "accelerator_energy_j_per_request")
"""Energy is that of the CPU packages, and of the accelerators that the server uses."""

ACCELERATOR_CORES = ("accelerator_cores_used", "accelerator_cores_granted")
"""Blocks have them where the device's cores are counted."""

COLUMNS = {
    "cores_granted": "float64",
    **dict.fromkeys(ACCELERATOR_CORES, "float64"),
    **{f"{name}{bound}": "float64" for name in (*MEANS, *COSTS) for bound in ("", "_low", "_high")},
    "offered_rate_per_s": "float64",
    "paper_cpu_percent": "float64",
    "paper_accelerator_percent": "float64",
    "paper_memory_percent": "float64",
}


ABSENT_COLUMNS = ("machine_id", "environment_id", "profile", "study", "model", "column", "reason")


def utilization_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row: means over rounds with t intervals; CPU-seconds and joules per request as geometric means.

    Memory is the mean over rounds of the peak proportional set size of the server's process tree.
    """
    return table(rows, COLUMNS, [_values(row, confidence) for row in rows])


def absent_table(sets: Iterable[ResultSet]) -> "pd.DataFrame":
    """Why a column of the blocks has no value in any block of a study and model: ABSENT_COLUMNS, all text.

    Where blocks tell several reasons, all of them.
    """
    import pandas as pd

    lines = []
    for found in sets:
        for (study, model), blocks in found.blocks.groupby(["study", "model"], sort=False):
            reasons: dict[str, dict[str, None]] = {}
            for text in blocks["telemetry_absent"].unique():
                for column, reason in json.loads(text).items():
                    reasons.setdefault(column, {})[reason] = None
            for column, why in sorted(reasons.items()):
                if column not in blocks or blocks[column].isna().all():
                    lines.append((*found.key, study, model, column, "; ".join(why)))
    return pd.DataFrame(lines, columns=list(ABSENT_COLUMNS))


def _values(row: Row, confidence: float) -> dict[str, Any]:
    values: dict[str, Any] = paper_values(row.keys, PAPER)
    if not row.measured:
        return values
    for name, column in MEANS.items():
        values |= _with_bounds(name, mean_interval(row.values(column), confidence))
    for name in COSTS:
        values |= _with_bounds(name, geometric_interval(row.values(name), confidence))
    values |= {name: float(row.blocks[name].mean()) for name in ACCELERATOR_CORES if name in row.blocks}
    values["cores_granted"] = float(row.blocks["cores_granted"].iloc[0])
    values["offered_rate_per_s"] = float(row.by_round("offered_rate_per_s").mean())
    return values


def _with_bounds(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
