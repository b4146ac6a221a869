"""What ten times the load does to latency, beside the claim that it costs at most five percent."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferlab.analyze.quantiles import quantile_over_rounds, ratio_of_estimates
from inferlab.analyze.rows import FAMILY, Row, grouped, table
from inferlab.analyze.scalability import PERCENTILES, of_scalability, siblings
from inferlab.analyze.statistics import Estimate, paired_ratio
from inferlab.studies.base import ClosedLoop, LoadLevel

if TYPE_CHECKING:
    import pandas as pd

CLAIMED = 1.05
"""Leveraging AWS for Scalable AI Development and Deployment: "less than 5% performance degradation under 10x load
increases". Whether of latency or of throughput, at which load, and for which service, is not stated."""
TENFOLD = 10.0
NEAR = 1.3
"""A ratio of callers within this factor of ten counts as ten times; rates are chosen to be exactly that."""

COLUMNS = {
    "from_scenario": "str",
    "load_ratio": "float64",
    "claimed": "float64",
    **{
        f"{name}{part}": dtype
        for name in ("p50_ratio", "p95_ratio", "p99_ratio")
        for part, dtype in (("", "float64"), ("_low", "float64"), ("_high", "float64"), ("_verdict", "str"))
    },
}


@dataclass(frozen=True)
class _Step:
    """A row, the one with a tenth of its load, and the ratio of the two loads."""

    row: Row
    base: Row
    load_ratio: float


def tenfold_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line for each configuration and loop that was measured under a load and under about ten times as much.

    The ratio of the medians is paired by round. Those of higher percentiles are of all requests of either load, with
    intervals from those of both (quantiles.py), and blank where a load has too few requests. Verdicts: `above` and
    `within` where the interval lies above the claimed ratio and below it, `open` where it holds it. They take wider
    intervals than those shown, so that any of a study is false with a probability of at most 1 - confidence
    (Bonferroni).
    """
    steps: list[_Step] = []
    values: list[dict[str, Any]] = []
    for family in grouped(of_scalability(rows), FAMILY).values():
        of_study = [step for group in siblings(family) for step in _steps(group)]
        together = 1 - (1 - confidence) / max(3 * len(of_study), 1)
        steps += of_study
        values += [_values(step, confidence, together) for step in of_study]
    return table([step.row for step in steps], COLUMNS, values)


def _steps(group: list[Row]) -> Iterator[_Step]:
    measured = [row for row in group if row.measured]
    levels = {row.scenario.share_of_capacity: row for row in measured if isinstance(row.scenario, LoadLevel)}
    for share, row in levels.items():
        for other, base in levels.items():
            if math.isclose(share, TENFOLD * other):
                yield _Step(row, base, TENFOLD)
    closed = [(row.scenario, row) for row in measured if isinstance(row.scenario, ClosedLoop)]
    callers = {scenario.callers: row for scenario, row in closed if scenario.items == 1}
    if callers:
        least = min(callers)
        nearest = min(callers, key=lambda count: abs(math.log(count / least / TENFOLD)))
        if abs(math.log(nearest / least / TENFOLD)) <= math.log(NEAR):
            yield _Step(callers[nearest], callers[least], nearest / least)


def _values(step: _Step, confidence: float, together: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "from_scenario": step.base.keys["scenario"],
        "load_ratio": step.load_ratio,
        "claimed": CLAIMED,
    }
    for name, (quantile, fewest) in PERCENTILES.items():
        stem = name.replace("latency_", "") + "_ratio"
        found, wider = (_ratio(step, quantile, fewest, each) for each in (confidence, together))
        values |= {stem: found.value, f"{stem}_low": found.low, f"{stem}_high": found.high}
        values[f"{stem}_verdict"] = _verdict(wider)
    return values


def _ratio(step: _Step, quantile: float, fewest: int, confidence: float) -> Estimate:
    if quantile == 0.5:
        found = paired_ratio(step.row.by_round("latency_p50_s"), step.base.by_round("latency_p50_s"), confidence)
        return Estimate(found.ratio, found.low, found.high, found.rounds)
    if min(step.row.latencies.size, step.base.latencies.size) < fewest:
        return Estimate(math.nan, math.nan, math.nan, 0)
    above, below = (quantile_over_rounds(row.latencies_by_round, quantile, confidence) for row in (step.row, step.base))
    return ratio_of_estimates(above, below)


def _verdict(ratio: Estimate) -> str:
    if math.isnan(ratio.low):
        return ""
    if ratio.low > CLAIMED:
        return "above"
    return "within" if ratio.high <= CLAIMED else "open"
