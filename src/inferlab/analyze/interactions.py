"""Does quantization help more with batching, or over HTTP? Factorial contrasts of precision, batching and path."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.analyze.comparisons import SCOPE, metrics_of
from inferlab.analyze.rows import Row, grouped
from inferlab.analyze.statistics import geometric_interval, holm, p_value_of_zero_mean

if TYPE_CHECKING:
    import pandas as pd

FACTORS: dict[str, tuple[str, str]] = {
    "precision": ("fp32", "int8-static"),
    "batching": ("none", "dynamic"),
    "path": ("direct", "fastapi"),
}
"""Factor: its low and its high level."""

COLUMNS = [*SCOPE, "target", "scenario", "metric", "contrast", "meaning", "not_engaged", "rounds"]
COLUMNS += ["ratio", "ratio_low", "ratio_high", "p_value", "p_adjusted"]


def contrasts(logs: np.ndarray, factors: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    """Contrasts of a full 2^k factorial, one value a round: {factors in the contrast: [rounds]}.

    `logs` is [rounds, 2, ..., 2], one axis a factor, level 0 low and 1 high, on the log scale. The contrast of a set S
    of factors is the sum of the cells with sign +1 where an even number of the factors of S is low and -1 otherwise,
    divided by 2^(k - |S|) (Box, Hunter and Hunter, Statistics for Experimenters, chapter 5, without the division that
    turns a difference of effects into half of it). So exp() of a main effect is a ratio (high over low, averaged over
    the other factors), of a pair a ratio of two such ratios, and of a triple a ratio of those.
    """
    count = len(factors)
    found: dict[tuple[str, ...], np.ndarray] = {}
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            total = np.zeros(logs.shape[0])
            for cell in product((0, 1), repeat=count):
                sign = np.prod([1 if cell[index] else -1 for index in chosen])
                place: tuple[Any, ...] = (slice(None), *cell)
                total = total + sign * logs[place]
            found[tuple(factors[index] for index in chosen)] = total / 2 ** (count - size)
    return found


def interaction_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """Contrasts for each model, target, scenario and metric whose grid was measured, with t intervals over rounds.

    A factor of which a target has one level only (no int8, for instance) is left out of that target's grid. Holm
    corrects over all contrasts of a study and model.
    """
    import pandas as pd

    names_of = (*SCOPE, "target", "scenario")
    grids = grouped([row for row in rows if row.measured and _in_grid(row)], names_of)
    records: list[dict[str, Any]] = []
    for names, members in grids.items():
        for metric in metrics_of(members[0]):
            missed = sorted({row.keys["not_engaged"] for row in members} - {""})
            found = _contrast_records(members, metric, confidence)
            own = {**dict(zip(names_of, names, strict=True)), "not_engaged": "; ".join(missed)}
            records += [{**own, **line} for line in found]
    frame = pd.DataFrame.from_records(records, columns=COLUMNS)
    if frame.empty:
        return frame
    families = frame.groupby(list(SCOPE), sort=False)["p_value"]
    return frame.assign(p_adjusted=families.transform(lambda values: holm(values.to_numpy(dtype=float))))


def _in_grid(row: Row) -> bool:
    changed = row.keys["precision"] == "fp32" and row.keys["optimization"] != "original"
    return not changed and not row.keys["twin"] and all(row.keys[name] in levels for name, levels in FACTORS.items())


def _contrast_records(members: list[Row], metric: str, confidence: float) -> list[dict[str, Any]]:
    factors = [name for name, levels in FACTORS.items() if {row.keys[name] for row in members} == set(levels)]
    cells: dict[tuple[int, ...], Row] = {
        tuple(FACTORS[name].index(row.keys[name]) for name in factors): row for row in members
    }
    if len(factors) < 2 or len(cells) != 2 ** len(factors) or len(members) != len(cells):
        return []
    series = {cell: row.by_round(metric) for cell, row in cells.items()}
    rounds = sorted(set.intersection(*(set(values.index) for values in series.values())))
    if len(rounds) < 2:
        return []
    logs = np.empty((len(rounds), *(2 for _ in factors)))
    for cell, values in series.items():
        place: tuple[Any, ...] = (slice(None), *cell)
        logs[place] = np.log(values.loc[rounds].to_numpy())
    return [_record(chosen, metric, values, confidence) for chosen, values in contrasts(logs, factors).items()]


def _record(chosen: tuple[str, ...], metric: str, values: np.ndarray, confidence: float) -> dict[str, Any]:
    estimate = geometric_interval(np.exp(values), confidence)
    return {
        "metric": metric,
        "contrast": " × ".join(chosen),
        "meaning": ("ratio", "ratio of ratios", "ratio of ratios of ratios")[len(chosen) - 1],
        "rounds": estimate.count,
        "ratio": estimate.value,
        "ratio_low": estimate.low,
        "ratio_high": estimate.high,
        "p_value": p_value_of_zero_mean(values),
    }
