"""What a search for batch limit, threads and replicas found, and what that is worth in the rounds after it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inferlab.analyze.autocorrelation import autocorrelation_of
from inferlab.analyze.rate_limit import highest_rates
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import FAMILY, TUNING, Row, grouped, table
from inferlab.analyze.statistics import mean_interval, paired_logs, ratios_of
from inferlab.analyze.verdicts import Compared, Judged, judge
from inferlab.columns import TRIAL_COLUMNS
from inferlab.records import CANDIDATE
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
    "never_kept": "float64",
    "never_exceeded": "float64",
    **{f"chosen_{name}": "float64" for name in CANDIDATE},
    **{f"asked_{name}": "str" for name in CANDIDATE},
    "trials_asked": "float64",
    "trials": "float64",
    "trials_without_value": "float64",
    "candidates": "float64",
    "cores_granted": "float64",
    "ratio": "float64",
    "ratio_low": "float64",
    "ratio_high": "float64",
    "rounds_compared": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",
    "noise_floor": "float64",
    "resolution": "float64",
    "verdict": "str",
    "more_rounds_needed": "float64",
    "note": "str",
}


class _Tuned(NamedTuple):
    """A tuned row, and its rates over those of the default."""

    row: Row
    compared: Compared


def trial_table(sets: Sequence[ResultSet]) -> "pd.DataFrame":
    """One line a trial, with the columns of columns.TRIAL_COLUMNS, and what the configuration consists of."""
    import pandas as pd

    frames = []
    for found in sets:
        rows = [row.configuration for plan in found.plans.values() for row in plan.configurations]
        planned = {row.id: row for row in rows}
        trials = found.trials[found.trials["configuration"].isin(list(planned))]
        parts = {
            part: [getattr(planned[name], part) for name in trials["configuration"]]
            for part in ("target", "optimization")
        }
        cells = zip(trials["model"], parts["optimization"], parts["target"], strict=True)
        if len(trials):
            frames.append(trials.assign(**parts, not_engaged=[found.not_engaged(*cell) for cell in cells]))
    empty = pd.DataFrame(columns=[*TRIAL_COLUMNS, "target", "optimization", "not_engaged"])
    return pd.concat(frames, ignore_index=True) if frames else empty


def tuning_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a configuration of the studies of tuning (the A/A twin left out), default and tuned.

    `rate_per_s` is as in rate_limit.py: the mean over rounds of the highest rate that kept the limit, 0 where none did
    (`never_kept` rounds). `chosen_` is what the tuned one is served as, `asked_` what the study names, and `candidates`
    what of that fits on the machine.

    `ratio` is tuned over default, the geometric mean of the round ratios; rounds in which one of the two kept the limit
    at no rate have none. A verdict is one where Holm's p over all lines of the study is below 1 - confidence and the
    ratio lies beyond both the noise floor of the study's twin and the `resolution`: a search ends at a rate that is
    below the true one by up to a step, so that the ratio may be off by that much whatever the rounds say. Both are log
    ratios.
    """
    of_kind = [row for row in rows if row.kind == TUNING and isinstance(row.scenario, RateSearch)]
    kept = [row for row in of_kind if not row.keys["twin"]]
    values = {id(row): _values(row, confidence) for row in kept}
    for family in grouped(of_kind, FAMILY).values():
        found = [one for group in grouped(family, ("model",)).values() for one in _tuned(group, confidence)]
        for one, judged in zip(found, judge([one.compared for one in found], confidence), strict=True):
            values[id(one.row)] |= _judged(one.compared, judged)
    return table(kept, COLUMNS, [values[id(row)] for row in kept])


def step_per_s(row: Row) -> float:
    """The distance of neighbouring rates in a row's searches, whose first rate is half of what they go up to."""
    assert isinstance(row.scenario, RateSearch)
    first = row.attempts[row.attempts["attempt"] == row.attempts["attempt"].min()]["offered_rate_per_s"]
    halvings = row.scenario.steps - 1
    return float(first.mean()) / float(2**halvings)


def _values(row: Row, confidence: float) -> dict[str, Any]:
    search, results = row.scenario, row.results
    assert isinstance(search, RateSearch)
    space = results.plans[(row.keys["study"], row.keys["model"])].search_space
    values: dict[str, Any] = {"p99_limit_s": search.p99_limit_s, "steps": search.steps, "verdict": "", "note": ""}
    if space is not None:
        asked = {"batch_limit": space.batch_limits, "threads": space.threads, "replicas": space.replicas}
        values |= {f"asked_{name}": ", ".join(map(str, listed)) for name, listed in asked.items()}
        values["trials_asked"] = space.trials
    values |= _trials(row)
    if not row.measured:
        return values
    found = highest_rates(row)
    rates = found["rate"].to_numpy(dtype=float)
    rate = mean_interval(rates, confidence)
    return values | {
        "searches": rate.count,
        "rate_per_s": rate.value,
        "rate_low_per_s": max(rate.low, 0.0),
        "rate_high_per_s": rate.high,
        "never_kept": int((rates == 0).sum()),
        "never_exceeded": int((~found["exceeded"].astype(bool)).sum()),
    }


def _trials(row: Row) -> dict[str, Any]:
    """Of a tuned row: its trials, and which of them was chosen."""
    trials = row.results.trials
    own = trials[(trials["study"] == row.keys["study"]) & (trials["configuration"] == row.keys["configuration"])]
    if own.empty:
        return {}
    chosen = own[own["chosen"]].iloc[0]
    return {
        **{f"chosen_{name}": chosen[name] for name in CANDIDATE},
        "trials": len(own),
        "trials_without_value": int(own["rate_per_s"].isna().sum()),
        "candidates": chosen["candidates"],
        "cores_granted": chosen["cores_granted"],
    }


def _tuned(group: list[Row], confidence: float) -> list[_Tuned]:
    """Of one model's rows, each measured tuned one beside the default of the same target and optimization."""
    rates = {id(row): highest_rates(row)["rate"].astype(float) for row in group if row.measured}
    measured = [row for row in group if id(row) in rates]
    twins = [row for row in measured if row.keys["twin"]]
    defaults = {_cell(row): row for row in measured if not row.keys["twin"] and not row.keys["tuned"]}
    tuned = [row for row in measured if row.keys["tuned"] and _cell(row) in defaults]
    pairs = [(row, defaults[_cell(row)]) for row in (*twins[:1], *tuned) if _cell(row) in defaults]
    if not tuned:
        return []
    autocorrelation = autocorrelation_of(list(rates.values()))
    logs = [paired_logs(rates[id(row)], rates[id(other)]) for row, other in pairs]
    ratios = ratios_of(logs, confidence, autocorrelation)
    twin = next((ratio for (row, _), ratio in zip(pairs, ratios, strict=True) if row.keys["twin"]), None)
    steps = {id(row): _resolution(row, rates[id(row)]) for pair in pairs for row in pair}
    return [
        _Tuned(row, Compared(ratio, twin, higher_is_better=True, resolution=max(steps[id(row)], steps[id(other)])))
        for (row, other), ratio in zip(pairs, ratios, strict=True)
        if not row.keys["twin"]
    ]


def _cell(row: Row) -> tuple[str, str]:
    return row.keys["target"], row.keys["optimization"]


def _resolution(row: Row, rates: "pd.Series[float]") -> float:
    """By how much a rate may be above what the searches found, as a log ratio; infinite where they found none."""
    kept = rates[rates > 0]
    return math.log1p(step_per_s(row) / float(kept.mean())) if len(kept) else math.inf


def _judged(compared: Compared, judged: Judged) -> dict[str, Any]:
    found = compared.found
    return {
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "rounds_compared": found.rounds,
        "p_value": found.p_value,
        "p_adjusted": judged.p_adjusted,
        "noise_floor": judged.noise_floor,
        "resolution": compared.resolution,
        "verdict": judged.verdict,
        "more_rounds_needed": judged.more_rounds,
        "note": _note(compared, judged),
    }


def _note(compared: Compared, judged: Judged) -> str:
    """Why there is no verdict, or what kind of tie it is."""
    if math.isnan(judged.p_adjusted):
        return "no verdict: fewer than two rounds in which both kept the limit"
    if math.isnan(judged.noise_floor):
        return "no verdict: the A/A twin was not measured"
    if judged.verdict != "tie":
        return ""
    difference = abs(compared.found.log_mean)
    if difference <= compared.resolution:
        return "within a step of the search"
    return "inside the noise floor" if difference <= judged.noise_floor else "not separable with these rounds"
