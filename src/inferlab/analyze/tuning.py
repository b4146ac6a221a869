"""What a search for batch limit, threads and replicas found, and what that is worth in the rounds after it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inferlab.analyze.autocorrelation import autocorrelation_of
from inferlab.analyze.comparisons import FAMILY
from inferlab.analyze.rate_limit import highest_rates
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import TUNING, Row, table
from inferlab.analyze.statistics import NAN, PairedRatio, holm, mean_interval, paired_logs, ratios_of
from inferlab.analyze.verdicts import alpha_of_step, more_rounds, noise_floor, verdict_of
from inferlab.columns import TRIAL_COLUMNS
from inferlab.records import Candidate
from inferlab.studies.base import RateSearch

if TYPE_CHECKING:
    import pandas as pd

CANDIDATE = tuple(Candidate.model_fields)

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


class _Compared(NamedTuple):
    """A tuned row, the ratio of its rates to those of the default, that of the twin, and a search's resolution."""

    row: Row
    found: PairedRatio
    twin: PairedRatio | None
    resolution: float


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
        if len(trials):
            frames.append(trials.assign(**parts))
    empty = pd.DataFrame(columns=[*TRIAL_COLUMNS, "target", "optimization"])
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
    families: dict[tuple[str, ...], list[Row]] = {}
    for row in of_kind:
        families.setdefault(tuple(str(row.keys[name]) for name in FAMILY), []).append(row)
    for family in families.values():
        compared = [one for group in _of_one_model(family) for one in _compared(group, confidence)]
        adjusted = holm([one.found.p_value for one in compared])
        step = alpha_of_step(adjusted, 1 - confidence)
        for one, p_adjusted in zip(compared, adjusted.tolist(), strict=True):
            values[id(one.row)] |= _judged(one, p_adjusted, step, confidence)
    return table(kept, COLUMNS, [values[id(row)] for row in kept])


def step_per_s(row: Row) -> float:
    """The distance of neighbouring rates in a row's searches, whose first rate is half of what they go up to."""
    assert isinstance(row.scenario, RateSearch)
    first = row.attempts[row.attempts["attempt"] == row.attempts["attempt"].min()]["offered_rate_per_s"]
    halvings = row.scenario.steps - 1
    return float(first.mean()) / float(2**halvings)


def _of_one_model(family: list[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in family:
        groups.setdefault(row.keys["model"], []).append(row)
    return list(groups.values())


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


def _compared(group: list[Row], confidence: float) -> list[_Compared]:
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
    return [
        _Compared(row, ratio, twin, max(_resolution(row, rates[id(row)]), _resolution(other, rates[id(other)])))
        for (row, other), ratio in zip(pairs, ratios, strict=True)
        if not row.keys["twin"]
    ]


def _cell(row: Row) -> tuple[str, str]:
    return row.keys["target"], row.keys["optimization"]


def _resolution(row: Row, rates: "pd.Series[float]") -> float:
    """By how much a rate may be above what the searches found, as a log ratio; infinite where they found none."""
    kept = rates[rates > 0]
    return math.log1p(step_per_s(row) / float(kept.mean())) if len(kept) else math.inf


def _judged(one: _Compared, p_adjusted: float, step: float, confidence: float) -> dict[str, Any]:
    """Ratio and verdict; also the further rounds that a tie would take, at the level of Holm's step that it missed."""
    found, twins = one.found, NAN if one.twin is None else noise_floor(one.twin)
    values: dict[str, Any] = {
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "rounds_compared": found.rounds,
        "p_value": found.p_value,
        "p_adjusted": p_adjusted,
        "noise_floor": twins,
        "resolution": one.resolution,
    }
    if math.isnan(p_adjusted):
        return values | {"note": "no verdict: fewer than two rounds in which both kept the limit"}
    if math.isnan(twins):
        return values | {"note": "no verdict: the A/A twin was not measured"}
    floor = max(twins, one.resolution)
    verdict = verdict_of(found.log_mean, p_adjusted, floor, higher_is_better=True, alpha=1 - confidence)
    if verdict != "tie":
        return values | {"verdict": verdict}
    if abs(found.log_mean) <= one.resolution:
        return values | {"verdict": verdict, "note": "within a step of the search"}
    more = more_rounds(found, one.twin, step, confidence)
    note = "inside the noise floor" if abs(found.log_mean) <= twins else "not separable with these rounds"
    return values | {"verdict": verdict, "note": note, "more_rounds_needed": NAN if more is None else more}
