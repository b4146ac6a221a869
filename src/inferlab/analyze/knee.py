"""The knee of a curve of latency against load: where one more request a second begins to cost more than it brings."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.analyze.rows import Row, table
from inferlab.analyze.scalability import capacity_per_s, of_scalability, siblings
from inferlab.analyze.statistics import NAN, Estimate
from inferlab.studies.base import LoadLevel

if TYPE_CHECKING:
    import pandas as pd

FEWEST_LEVELS = 4
"""Of load; fewer do not show where a maximum between them lies."""

COLUMNS = {
    "knee_per_s": "float64",
    "knee_low_per_s": "float64",
    "knee_high_per_s": "float64",
    "knee_latency_s": "float64",
    "knee_share": "float64",
    "knee_share_low": "float64",
    "knee_share_high": "float64",
    "capacity_per_s": "float64",
}


def knee_of(rates_per_s: np.ndarray, latencies_s: np.ndarray) -> tuple[float, float]:
    """Rate and mean latency of greatest power, rate / latency; NaN where it is greatest at one of both ends.

    Kleinrock's power (Proc. ICC 1979, 43.1): for M/M/1 it is greatest at half of the capacity, for M/D/1 at 2 - sqrt 2
    of it. Between the measured rates, both [levels] and ascending, the logarithm of latency is a monotone cubic (PCHIP,
    Fritsch and Carlson 1980).
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import minimize_scalar

    curve = PchipInterpolator(rates_per_s, np.log(latencies_s))
    power = np.log(rates_per_s) - np.log(latencies_s)
    best = int(power.argmax())
    low, high = max(best - 1, 0), min(best + 1, len(power) - 1)
    bounds = (float(rates_per_s[low]), float(rates_per_s[high]))
    found = minimize_scalar(lambda rate: float(curve(rate)) - math.log(rate), bounds=bounds, method="bounded").x
    ends = (float(rates_per_s[0]), float(rates_per_s[-1]))
    if min(abs(found - end) for end in ends) < 1e-3 * (ends[1] - ends[0]):
        return NAN, NAN
    return float(found), math.exp(float(curve(found)))


def knee_interval(rates_per_s: np.ndarray, latencies_s: np.ndarray, confidence: float) -> tuple[Estimate, float]:
    """The knee of the means over rounds, and its latency. Latencies are [rounds, levels], rates [levels].

    The interval is the jackknife's: from the knees of all rounds but one (t, rounds - 1; Efron and Stein 1981).
    """
    from scipy.special import stdtrit

    rounds = len(latencies_s)
    rate, latency = knee_of(rates_per_s, latencies_s.mean(axis=0))
    if rounds < 2 or math.isnan(rate):
        return Estimate(rate, NAN, NAN, rounds), latency
    kept = ~np.eye(rounds, dtype=bool)
    others = np.array([knee_of(rates_per_s, latencies_s[keep].mean(axis=0))[0] for keep in kept])
    error = math.sqrt((rounds - 1) * float(others.var()))
    half = float(stdtrit(rounds - 1, 0.5 + confidence / 2)) * error
    return Estimate(rate, max(rate - half, 0.0), rate + half, rounds), latency


def knee_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a configuration of the studies of scalability that has levels of load; the knee as rate and as share.

    Shares are of the capacity (scalability.py). Blank where the levels do not enclose a knee.
    """
    first = [group[0] for group in siblings(of_scalability(rows)) if _levels(group)]
    lines = [_values(_levels(group), group, confidence) for group in siblings(of_scalability(rows)) if _levels(group)]
    return table(first, COLUMNS, lines)


def _levels(group: Sequence[Row]) -> list[Row]:
    """A configuration's measured levels by their rate, where there are enough of them."""
    levels = [row for row in group if row.measured and isinstance(row.scenario, LoadLevel)]
    levels.sort(key=lambda row: float(row.by_round("offered_rate_per_s").mean()))
    return levels if len(levels) >= FEWEST_LEVELS else []


def _values(levels: list[Row], group: Sequence[Row], confidence: float) -> dict[str, Any]:
    import pandas as pd

    frame = pd.concat([row.by_round("latency_mean_s") for row in levels], axis=1).dropna()
    rates = np.array([float(row.by_round("offered_rate_per_s").mean()) for row in levels])
    capacity = capacity_per_s(group)
    if len(frame) < 2:
        return {"capacity_per_s": capacity}
    knee, latency_s = knee_interval(rates, frame.to_numpy(dtype=float), confidence)
    return {
        "knee_per_s": knee.value,
        "knee_low_per_s": knee.low,
        "knee_high_per_s": knee.high,
        "knee_latency_s": latency_s,
        "knee_share": knee.value / capacity,
        "knee_share_low": knee.low / capacity,
        "knee_share_high": knee.high / capacity,
        "capacity_per_s": capacity,
    }
