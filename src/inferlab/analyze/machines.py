"""The same work on several machines: the only table that compares what different machines measured.

Rounds of two machines have nothing in common, so that nothing cancels as it does inside a study: means stand beside
means (Welch), without a noise floor, since no A/A twin stands on both.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from inferlab.analyze.autocorrelation import Autocorrelation, drift_of
from inferlab.analyze.comparisons import metrics_of
from inferlab.analyze.quality import accuracy_values
from inferlab.analyze.results import SET_KEYS, ResultSet
from inferlab.analyze.rows import Row, grouped
from inferlab.analyze.statistics import UnpairedRatio, geometric_interval, holm, unpaired_ratio

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "module.safetensors"
"""Of an optimization's files, the one that holds the weights."""

WORK = ("study", "model", "optimization", "path", "batching", "cache_share", "batch_limit", "handler", "scenario")
"""What two lines have in common; target and precision may differ, as the machines' devices do."""

COLUMNS = {
    **dict.fromkeys(
        ("profile", *WORK, "metric", "better", "machine_id", "environment_id", "target", "precision", "not_engaged"),
        "str",
    ),
    "rounds": "float64",
    "value": "float64",
    "value_low": "float64",
    "value_high": "float64",
    "quality": "float64",
    "quality_low": "float64",
    "quality_high": "float64",
    **dict.fromkeys(("against_machine_id", "against_environment_id", "against_target", "weights"), "str"),
    "ratio": "float64",
    "ratio_low": "float64",
    "ratio_high": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",
    "verdict": "str",
}


class _Series(NamedTuple):
    """A row's rounds of one metric as logarithms, and how they depend on each other."""

    row: Row
    logs: np.ndarray
    autocorrelation: Autocorrelation


def machine_comparisons(rows: Sequence[Row], confidence: float) -> "pd.DataFrame":
    """One line for each measured row and metric of the studies that several machines (or environments) measured.

    What is compared is WORK under the same scenario, in the same profile. The first set of a profile is the reference:
    `ratio` is a line's geometric mean over rounds over that of the same target on the reference or, where it does not
    have that, of its fastest one (`against_target`). Intervals and p-values are statistics.unpaired_ratio's, with the
    rounds of each machine taken for as many as are independent under its drift. Verdicts are `better` or `worse` where
    Holm's p over all lines of a profile and study is below 1 - confidence, else `open`. `weights` says whether the
    optimized model is the `same` file on both or an `other`; blank where that is not known.
    """
    import pandas as pd

    kept = [row for row in rows if row.measured and not row.keys["twin"] and not row.stands_apart]
    first: dict[str, ResultSet] = {}
    for row in kept:
        first.setdefault(row.results.profile, row.results)
    lines: list[dict[str, Any]] = []
    for group in _same_circumstances(kept):
        for metric, better in metrics_of(group[0]).items():
            for work in _same_work(_series(group, metric)):
                lines += _lines(work, first[group[0].results.profile], metric, better, confidence)
    frame = pd.DataFrame.from_records(lines, columns=list(COLUMNS))
    if len(frame):
        families = frame.groupby(["profile", "study"], sort=False)["p_value"]
        frame["p_adjusted"] = families.transform(lambda values: holm(values.to_numpy(dtype=float)))
        frame["verdict"] = [_verdict(line, 1 - confidence) for line in frame.to_dict("records")]
    return frame.astype({name: dtype for name, dtype in COLUMNS.items() if dtype == "float64"})


def _same_circumstances(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows of one study and model under a scenario that means the same on every machine, where several have it."""
    for group in grouped(rows, ("profile", "study", "model", "scenario")).values():
        alike: dict[str, list[Row]] = {}
        for row in group:
            alike.setdefault(repr(row.scenario), []).append(row)
        yield from (found for found in alike.values() if len({row.results.key for row in found}) > 1)


def _series(group: Sequence[Row], metric: str) -> list[_Series]:
    """The rounds of each row; how they depend on each other is estimated from all of a machine's together."""
    found = []
    for of_set in grouped(group, SET_KEYS).values():
        series = [row.by_round(metric) for row in of_set]
        drift = drift_of(series)
        for row, values in zip(of_set, series, strict=True):
            positive = values[values > 0].to_numpy(dtype=float)
            found.append(_Series(row, np.log(positive), drift))
    return found


def _same_work(series: Sequence[_Series]) -> Iterator[list[_Series]]:
    groups: dict[tuple[str, ...], list[_Series]] = {}
    for one in series:
        groups.setdefault(tuple(str(one.row.keys[name]) for name in WORK), []).append(one)
    yield from (found for found in groups.values() if len({one.row.results.key for one in found}) > 1)


def _lines(
    work: Sequence[_Series], first: ResultSet, metric: str, better: str, confidence: float
) -> Iterator[dict[str, Any]]:
    here = {one.row.keys["target"]: one for one in work if one.row.results is first}
    by_speed = sorted(here.values(), key=lambda one: float(one.logs.mean()), reverse=better == "higher")
    for one in work:
        line = {**_facts(one.row, confidence), "metric": metric, "better": better, "rounds": one.logs.size}
        value = geometric_interval(np.exp(one.logs), confidence)
        line |= {"value": value.value, "value_low": value.low, "value_high": value.high}
        other = here.get(one.row.keys["target"]) or next(iter(by_speed), None)
        if one.row.results is not first and other is not None:
            line |= _against(one, other, confidence)
        yield line


def _facts(row: Row, confidence: float) -> dict[str, Any]:
    names = ("profile", *WORK, "machine_id", "environment_id", "target", "precision", "not_engaged")
    cell = (row.keys["model"], row.keys["optimization"], row.keys["target"])
    quality = accuracy_values(row.results, *cell, confidence)
    return {name: row.keys[name] for name in names} | {
        name: quality[name] for name in ("quality", "quality_low", "quality_high") if name in quality
    }


def _against(one: _Series, other: _Series, confidence: float) -> dict[str, Any]:
    found: UnpairedRatio = unpaired_ratio(one.logs, other.logs, confidence, one.autocorrelation, other.autocorrelation)
    machine_id, environment_id, _ = other.row.results.key
    return {
        "against_machine_id": machine_id,
        "against_environment_id": environment_id,
        "against_target": other.row.keys["target"],
        "weights": _weights(one.row, other.row),
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "p_value": found.p_value,
    }


def _weights(row: Row, other: Row) -> str:
    key = (row.keys["model"], row.keys["optimization"])
    records = [found.results.optimizations.get(key) for found in (row, other)]
    digests = [record.files.get(WEIGHTS, "") if record else "" for record in records]
    if not all(digests):
        return ""
    return "same" if digests[0] == digests[1] else "other"


def _verdict(line: dict[Any, Any], alpha: float) -> str:
    if math.isnan(line["ratio"]):
        return ""
    if not line["p_adjusted"] < alpha:
        return "open"
    return "better" if (line["ratio"] > 1) == (line["better"] == "higher") else "worse"
