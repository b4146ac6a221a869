"""The highest rate that keeps the 99th percentile of latency under a limit, as the bisection of each round found it."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.rows import Row, table
from inferlab.analyze.scalability import capacity_per_s, of_scalability, siblings
from inferlab.analyze.statistics import mean_interval, paired_ratio
from inferlab.studies.base import RateSearch

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "p99_limit_s": "float64",
    "steps": "float64",
    "searches": "float64",
    "rate_per_s": "float64",
    "rate_low_per_s": "float64",
    "rate_high_per_s": "float64",
    "capacity_per_s": "float64",
    "share": "float64",
    "never_exceeded": "float64",
    "gain": "float64",
    "gain_low": "float64",
    "gain_high": "float64",
}


def rate_limit_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a configuration and search (the A/A twin left out).

    `rate_per_s` is the mean over rounds, with its t interval, of the highest rate that kept the limit in the round's
    search, 0 where none did; `searches` are the rounds in which a search came to its end, and `never_exceeded` those in
    which no rate broke the limit. `share` is of the capacity (scalability.py). `gain` is over the study's reference,
    paired by round.
    """
    searches = [row for row in of_scalability(rows) if isinstance(row.scenario, RateSearch)]
    capacities = {id(row): capacity_per_s(group) for group in siblings(of_scalability(rows)) for row in group}
    lines = [_values(row, searches, capacities[id(row)], confidence) for row in searches]
    return table(searches, COLUMNS, lines)


def highest_rates(row: Row) -> "pd.DataFrame":
    """Of each round whose search came to its end, by round: `rate` per second, and whether any rate `exceeded`."""
    import pandas as pd

    search = row.scenario
    assert isinstance(search, RateSearch)
    tried = row.attempts[row.attempts["outcome"] == "measured"]
    found = {}
    for number, blocks in tried.groupby("round"):
        if len(blocks) == search.steps:
            kept = blocks["latency_p99_s"].map(search.is_kept)
            rates = blocks["offered_rate_per_s"]
            found[number] = {"rate": float(rates[kept].max()) if kept.any() else 0.0, "exceeded": not kept.all()}
    return pd.DataFrame.from_dict(found, orient="index", columns=["rate", "exceeded"])


def _values(row: Row, searches: list[Row], capacity: float, confidence: float) -> dict[str, Any]:
    search = row.scenario
    assert isinstance(search, RateSearch)
    values: dict[str, Any] = {"p99_limit_s": search.p99_limit_s, "steps": search.steps}
    if not row.measured:
        return values
    found = highest_rates(row)
    rate = mean_interval(found["rate"].to_numpy(dtype=float), confidence)
    values |= {
        "searches": rate.count,
        "rate_per_s": rate.value,
        "rate_low_per_s": rate.low,
        "rate_high_per_s": rate.high,
        "capacity_per_s": capacity,
        "share": rate.value / capacity,
        "never_exceeded": int((~found["exceeded"].astype(bool)).sum()),
    }
    plan = row.results.plans[(row.keys["study"], row.keys["model"])]
    for other in searches:
        same = all(other.keys[name] == row.keys[name] for name in ("study", "model", "scenario"))
        is_reference = other.keys["configuration"] == plan.reference and other.results is row.results
        if same and is_reference and other is not row and other.measured:
            gain = paired_ratio(found["rate"], highest_rates(other)["rate"], confidence)
            values |= {"gain": gain.ratio, "gain_low": gain.low, "gain_high": gain.high}
    return values
