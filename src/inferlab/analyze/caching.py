"""What a response cache brought: hits beside those that a model of the cache expects, speed with and without it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import geometric_interval, mean_interval, paired_ratio
from inferlab.records import PayloadMix

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "distinct": "float64",
    "zipf_exponent": "float64",
    "hit_share": "float64",
    "hit_share_low": "float64",
    "hit_share_high": "float64",
    "hit_share_expected": "float64",
    "throughput_mean_per_s": "float64",
    "throughput_low_per_s": "float64",
    "throughput_high_per_s": "float64",
    "speedup": "float64",
    "speedup_low": "float64",
    "speedup_high": "float64",
    "latency_p50_s": "float64",
    "latency_p50_low_s": "float64",
    "latency_p50_high_s": "float64",
    "hit_latency_p50_s": "float64",
    "miss_latency_p50_s": "float64",
    "cpu_s_per_request": "float64",
}


def caching_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row of the studies that compare caches (the A/A twin left out).

    `speedup` is the ratio of throughput (closed loop) to the same endpoint without a cache, paired by round. Hit and
    miss latencies are medians of all measured requests of a kind, pooled; shares are of the answered requests.
    """
    kept = [row for row in rows if row.compares_caches and not row.keys["twin"]]
    return table(kept, COLUMNS, [_values(row, kept, confidence) for row in kept])


def expected_hit_share(mix: PayloadMix, capacity: int) -> float:
    """Share of hits of a cache of the `capacity` most recently used payloads of the mix, drawn independently.

    Che's approximation (Che, Tung and Wang 2002, IEEE JSAC 20(7)): with the characteristic time t that solves
    sum(1 - exp(-p_i t)) = capacity, the share is sum(p_i (1 - exp(-p_i t))).
    """
    from scipy.optimize import brentq

    if capacity >= mix.distinct:
        return 1.0
    probability = mix.probabilities()

    def excess(time: float) -> float:
        return float(-np.expm1(-probability * time).sum()) - capacity

    # The rarest item sets the scale: after so many times its mean gap, all items are in.
    time = brentq(excess, 0.0, 50.0 / float(probability.min()))
    return float((probability * -np.expm1(-probability * time)).sum())


def _values(row: Row, rows: list[Row], confidence: float) -> dict[str, Any]:
    mix = row.results.plans[(row.keys["study"], row.keys["model"])].payloads
    values: dict[str, Any] = {"distinct": mix.distinct, "zipf_exponent": mix.zipf_exponent}
    share = float(row.keys["cache_share"])
    if share and mix.zipf_exponent is not None:
        values["hit_share_expected"] = expected_hit_share(mix, round(share * mix.distinct))
    if not row.measured:
        return values
    rate = mean_interval(row.values("throughput_per_s"), confidence)
    median = geometric_interval(row.values("latency_p50_s"), confidence)
    values |= {
        "throughput_mean_per_s": rate.value,
        "throughput_low_per_s": rate.low,
        "throughput_high_per_s": rate.high,
        "latency_p50_s": median.value,
        "latency_p50_low_s": median.low,
        "latency_p50_high_s": median.high,
        "cpu_s_per_request": float(row.by_round("cpu_s_per_request").mean()),
    }
    if share:
        hits = mean_interval(row.values("cache_hit_share"), confidence)
        values |= {"hit_share": hits.value, "hit_share_low": hits.low, "hit_share_high": hits.high}
        for name, kind in (("hit", True), ("miss", False)):
            latencies = row.latencies[row.requests["cached"].to_numpy(dtype=bool) == kind]
            if latencies.size:
                values[f"{name}_latency_p50_s"] = float(np.median(latencies))
        if row.keys["loop"] == "closed":
            values |= _speedup(row, rows, confidence)
    return values


def _speedup(row: Row, rows: list[Row], confidence: float) -> dict[str, float]:
    """Against the endpoint that differs by its cache alone."""
    same = ("study", "model", "target", "optimization", "path", "batching", "scenario")
    for other in rows:
        if (
            other.measured
            and other.results.key == row.results.key
            and not other.keys["cache_share"]
            and all(other.keys[name] == row.keys[name] for name in same)
        ):
            found = paired_ratio(row.by_round("throughput_per_s"), other.by_round("throughput_per_s"), confidence)
            return {"speedup": found.ratio, "speedup_low": found.low, "speedup_high": found.high}
    return {}
