"""By which rule the rounds of a study ended, and how well they know its latencies."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from inferlab.analyze.results import ResultSet
from inferlab.measure.precision import half_widths, rule_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "machine_id": "str",
    "environment_id": "str",
    "profile": "str",
    "study": "str",
    "model": "str",
    "rounds": "float64",
    "precision": "float64",
    "least_rounds": "float64",
    "max_rounds": "float64",
    "ended_by": "str",
    "reached": "float64",
    "widest": "str",
    "widest_scenario": "str",
}


def stopping_table(sets: Iterable[ResultSet]) -> "pd.DataFrame":
    """One line a study and model that a stop rule ended; those with a fixed number of rounds have none.

    `ended_by` is `precision` or `max_rounds`; `reached` is the largest half width of the log of p50 latency
    (measure.precision.half_widths), blank where a cell has none, and `widest`, `widest_scenario` are its cell.
    """
    import pandas as pd

    lines = []
    for found in sets:
        for (study, model), blocks in found.blocks.groupby(["study", "model"], sort=False):
            rule = rule_of(blocks)
            if rule is None:
                continue
            widths = half_widths(blocks).sort_values(ascending=False, na_position="first")
            reached = float(widths.iloc[0])
            ended_by = "precision" if reached <= rule.precision else "max_rounds"
            ends = (blocks["round"].nunique(), rule.precision, rule.least_rounds, rule.max_rounds, ended_by)
            lines.append((*found.key, study, model, *ends, reached, *widths.index[0]))
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(
        {name: dtype for name, dtype in COLUMNS.items() if dtype == "float64"}
    )
