"""Accuracy of every artifact, with its interval and its paired difference to the original on the same target."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.results import SET_KEYS, ResultSet
from inferlab.analyze.statistics import paired_proportion_difference, proportion_interval

if TYPE_CHECKING:
    import pandas as pd

ORIGINAL = "original"
COLUMNS = {
    "metric": "quality_metric",
    "value": "quality",
    "low": "quality_low",
    "high": "quality_high",
    "samples": "samples",
    "difference": "quality_difference",
    "difference_low": "quality_difference_low",
    "difference_high": "quality_difference_high",
    "difference_p_value": "quality_difference_p_value",
}
"""Column of the table: name in quality_values."""


def quality_table(sets: list[ResultSet], confidence: float) -> "pd.DataFrame":
    """One line a model, optimization and target; without numbers, but with the reason, where nothing was measured."""
    import pandas as pd

    lines = []
    for results in sets:
        scope = dict(zip(SET_KEYS, results.key, strict=True))
        for (model, optimization, target), record in results.quality.items():
            values = quality_values(results, model, optimization, target, confidence)
            missed = results.not_engaged(model, optimization, target)
            cell = {"model": model, "optimization": optimization, "target": target}
            numbers = {column: values.get(name) for column, name in COLUMNS.items()}
            lines.append(
                {**scope, **cell, "outcome": record.outcome, "reason": record.reason, "not_engaged": missed, **numbers}
            )
    names = [*SET_KEYS, "model", "optimization", "target", "outcome", "reason", "not_engaged"]
    return pd.DataFrame.from_records(lines, columns=[*names, *COLUMNS])


def accuracy_values(
    results: ResultSet, model: str, optimization: str, target: str, confidence: float
) -> dict[str, Any]:
    """Accuracy of an artifact with its Wilson interval; empty where it was not measured."""
    record = results.quality.get((model, optimization, target))
    if record is None or record.outcome != "measured" or record.value is None:
        return {}
    interval = proportion_interval(round(record.value * record.samples), record.samples, confidence)
    return {
        "quality_metric": record.metric,
        "samples": record.samples,
        "quality": interval.value,
        "quality_low": interval.low,
        "quality_high": interval.high,
    }


def quality_values(results: ResultSet, model: str, optimization: str, target: str, confidence: float) -> dict[str, Any]:
    """Accuracy of an artifact with its Wilson interval, and its paired difference to the original on that target."""
    values = accuracy_values(results, model, optimization, target, confidence)
    if not values:
        return values
    candidate = results.correct(model, optimization, target)
    reference = results.correct(model, ORIGINAL, target)
    if optimization == ORIGINAL or candidate is None or reference is None:
        return values
    common = candidate.index.intersection(reference.index)
    if len(common) == 0:
        return values
    found = paired_proportion_difference(
        candidate.loc[common].to_numpy(dtype=bool), reference.loc[common].to_numpy(dtype=bool), confidence
    )
    return values | {
        "quality_difference": found.value,
        "quality_difference_low": found.low,
        "quality_difference_high": found.high,
        "quality_difference_p_value": found.p_value,
    }
