"""Every measured configuration against two references, with the noise floor of the A/A twin.

Against the reference of its study, which is what the user has: so much better is the whole of engine, optimization and
path. Against the original on the same target: so much of that is the optimization's.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inferlab.analyze.autocorrelation import Autocorrelation, autocorrelation_of
from inferlab.analyze.quality import ORIGINAL
from inferlab.analyze.rows import FAMILY, Row, grouped
from inferlab.analyze.statistics import NAN, PairedRatio, paired_logs, ratios_of
from inferlab.analyze.verdicts import Compared, Judged, judge, noise_floor
from inferlab.studies.base import LoadLevel, RateSearch

if TYPE_CHECKING:
    import pandas as pd

AGAINST_REFERENCE = "the reference"
AGAINST_ORIGINAL = "original on the same target"

FOUND, TWIN = "found", "twin_of_reference"
"""Columns for judging, with the PairedRatio of a comparison and of its reference's twin."""

METRICS = {"latency_p50_s": "lower", "throughput_per_s": "higher"}
"""What is compared: a column of the blocks, and the direction that is better."""

TWIN_TOLERANCE = 0.03
"""How far the median round ratio of the A/A twin may be off one before the pages warn of it."""

SCOPE = (*FAMILY, "model")
"""What is never compared across."""

PAIR = ["model", "configuration", "reference", "scenario", "metric"]
"""A comparison; where both references are the same configuration, two lines hold one comparison."""

NOISE_COLUMNS = [*SCOPE, "scenario", "metric", "reference", "ratio_median", "ratio", "ratio_low", "ratio_high"]
NOISE_COLUMNS += ["log_sd", "noise_floor", "rounds", "autocorrelation", "effective_rounds", "twin_warning"]

COLUMNS = [*SCOPE, "target", "optimization", "not_engaged", "path", "batching", "cache_share", "batch_limit", "handler"]
COLUMNS += ["configuration", "scenario", "metric", "better"]
COLUMNS += [
    "against",
    "reference",
    "rounds",
    "autocorrelation",
    "effective_rounds",
    "ratio",
    "ratio_low",
    "ratio_high",
    "ratio_median",
    "log_sd",
    "p_value",
]
COLUMNS += ["p_adjusted", "noise_floor", "verdict", "more_rounds_needed", "note"]


def noise_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """The reference's twin over the reference, for each study, model, scenario and metric.

    `noise_floor` is the largest deviation from a ratio of one that the twin's interval still holds, as a log ratio.
    `twin_warning` says why the twin differs from the reference, which is the same configuration: its interval excludes
    one, or its median is off by more than TWIN_TOLERANCE.
    """
    import pandas as pd

    records = []
    for scope, scenario, group in _families(rows):
        reference = _reference(group)
        if reference is None:
            continue
        for metric in metrics_of(reference):
            autocorrelation, found, _ = _ratios(group, reference, metric, confidence)
            if found is None:
                continue
            records.append(
                {
                    **dict(zip(SCOPE, scope, strict=True)),
                    "scenario": scenario,
                    "metric": metric,
                    "reference": reference.keys["configuration"],
                    "ratio_median": found.median,
                    "ratio": found.ratio,
                    "ratio_low": found.low,
                    "ratio_high": found.high,
                    "log_sd": found.log_sd,
                    "noise_floor": noise_floor(found),
                    "rounds": found.rounds,
                    "autocorrelation": autocorrelation.mean,
                    "effective_rounds": found.effective_rounds,
                    "twin_warning": _twin_warning(found, confidence),
                }
            )
    return pd.DataFrame.from_records(records, columns=NOISE_COLUMNS)


def comparison_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line for each measured configuration, scenario, metric and reference: ratio to it, paired by round.

    `against` says which of the two references a line is about, `reference` which configuration that is: the study's
    own, and the original on the same target behind the same path and batching.
    Intervals and tests count rounds for as many as are independent (autocorrelation.py). Verdicts are `better`, `worse`
    or `tie`: a difference is called one where Holm's p-value over all comparisons of the study (all models, both
    references) is below 1 - confidence and the ratio lies beyond the noise floor of the study's twin, whichever the
    reference. Without a measured twin there is no floor and no verdict. `more_rounds_needed` is what a tie would take
    (verdicts.more_rounds, at the level of Holm's step that it missed).
    """
    import pandas as pd

    records: list[dict[str, Any]] = []
    for _, _, group in _families(rows):
        reference = _reference(group)
        if reference is None:
            continue
        for metric, better in metrics_of(reference).items():
            autocorrelation, twin, compared = _ratios(group, reference, metric, confidence)
            for row, against, other, found in compared:
                line = _record(row, other, metric, better, found, twin)
                records.append({**line, "against": against, "autocorrelation": autocorrelation.mean})
    frame = pd.DataFrame.from_records(records, columns=[*COLUMNS, FOUND, TWIN])
    families = [_judge(family, confidence) for _, family in frame.groupby(list(FAMILY), sort=False)]
    return pd.concat(families, ignore_index=True)[COLUMNS] if families else frame[COLUMNS]


def metrics_of(row: Row) -> dict[str, str]:
    """The metrics that say something under the row's scenario: at an offered rate, throughput is that rate.

    Where each configuration has a rate of its own, none says anything of two of them.
    """
    if isinstance(row.scenario, LoadLevel | RateSearch):
        return {}
    left_out = () if row.keys["loop"] == "closed" else ("throughput_per_s",)
    return {name: better for name, better in METRICS.items() if name not in left_out}


def _families(rows: list[Row]) -> Iterator[tuple[tuple[str, ...], str, list[Row]]]:
    """Rows that may be compared with each other: one study and model of one set, under one scenario."""
    for names, group in grouped(rows, (*SCOPE, "scenario")).items():
        yield names[:-1], names[-1], group


def _reference(group: list[Row]) -> Row | None:
    plan = group[0].results.plans[(group[0].keys["study"], group[0].keys["model"])]
    found = [row for row in group if row.keys["configuration"] == plan.reference and row.measured]
    return found[0] if found else None


def _references(row: Row, reference: Row, candidates: list[Row]) -> Iterator[tuple[str, Row]]:
    """What a row is compared with: the study's reference, and what was not optimized under the same circumstances."""
    if row is not reference:
        yield AGAINST_REFERENCE, reference
    if row.keys["optimization"] != ORIGINAL:
        same = ("target", "path", "batching", "cache_share", "batch_limit", "handler")
        for other in candidates:
            if other.keys["optimization"] == ORIGINAL and all(other.keys[name] == row.keys[name] for name in same):
                yield AGAINST_ORIGINAL, other


def _ratios(
    group: list[Row], reference: Row, metric: str, confidence: float
) -> tuple[Autocorrelation, PairedRatio | None, list[tuple[Row, str, Row, PairedRatio]]]:
    """How rounds depend on each other, the twin over the reference where it was measured, and what is compared."""
    measured = [row for row in group if row.measured]
    series = {id(row): row.by_round(metric) for row in measured}
    autocorrelation = autocorrelation_of(list(series.values()))
    twins = [row for row in measured if row.keys["twin"]][:1]
    candidates = [row for row in measured if not row.keys["twin"]]
    pairs = [(row, against, other) for row in candidates for against, other in _references(row, reference, candidates)]
    wanted = [(row, reference) for row in twins] + [(row, other) for row, _, other in pairs]
    # A pair that is compared under two names counts once where ratios tell of each other's spread.
    logs = {(id(row), id(other)): paired_logs(series[id(row)], series[id(other)]) for row, other in wanted}
    ratios = dict(zip(logs, ratios_of(list(logs.values()), confidence, autocorrelation), strict=True))
    twin = ratios[id(twins[0]), id(reference)] if twins else None
    return autocorrelation, twin, [(*pair, ratios[id(pair[0]), id(pair[2])]) for pair in pairs]


def _twin_warning(twin: PairedRatio, confidence: float) -> str:
    resolved = twin.low > 1 or twin.high < 1
    reasons = [f"its {100 * confidence:g} % interval excludes 1"] if resolved else []
    if abs(twin.median - 1) > TWIN_TOLERANCE:
        scatter = "" if resolved else ", which its rounds scatter by"
        reasons.append(f"its median is off by {100 * abs(twin.median - 1):.1f} %{scatter}")
    return ", ".join(reasons)


def _record(
    row: Row, reference: Row, metric: str, better: str, found: PairedRatio, twin: PairedRatio | None
) -> dict[str, Any]:
    names = (
        *SCOPE,
        "target",
        "optimization",
        "not_engaged",
        "path",
        "batching",
        "cache_share",
        "batch_limit",
        "handler",
        "configuration",
        "scenario",
    )
    return {
        **{name: row.keys[name] for name in names},
        "metric": metric,
        "better": better,
        "reference": reference.keys["configuration"],
        "rounds": found.rounds,
        "effective_rounds": found.effective_rounds,
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "ratio_median": found.median,
        "log_sd": found.log_sd,
        "p_value": found.p_value,
        "noise_floor": NAN if twin is None else noise_floor(twin),
        FOUND: found,
        TWIN: twin,
    }


def _judge(family: "pd.DataFrame", confidence: float) -> "pd.DataFrame":
    """The lines of a family with their verdicts; those that hold one comparison count once for Holm."""
    distinct = family.drop_duplicates(PAIR)
    compared = [Compared(line[FOUND], line[TWIN], line["better"] == "higher") for line in distinct.to_dict("records")]
    judged = dict(zip(_pairs(distinct), judge(compared, confidence), strict=True))
    of_lines = [judged[pair] for pair in _pairs(family)]
    return family.assign(
        p_adjusted=[one.p_adjusted for one in of_lines],
        verdict=[one.verdict for one in of_lines],
        more_rounds_needed=[NAN if one.more_rounds is None else float(one.more_rounds) for one in of_lines],
        note=[_note(one, found) for one, found in zip(of_lines, family[FOUND], strict=True)],
    )


def _pairs(family: "pd.DataFrame") -> list[tuple[str, ...]]:
    return list(family[PAIR].itertuples(index=False, name=None))


def _note(judged: Judged, found: PairedRatio) -> str:
    """Why there is no verdict, or what kind of tie it is."""
    if math.isnan(judged.noise_floor):
        return "no verdict: the study's A/A twin was not measured under this scenario"
    if math.isnan(judged.p_adjusted):
        return "no verdict: fewer than two rounds in common with the reference"
    if judged.verdict != "tie":
        return ""
    is_inside = abs(found.log_mean) <= judged.noise_floor
    return "inside the noise floor" if is_inside else "not separable with these rounds"
