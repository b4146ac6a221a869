"""What each ingredient of an ordinary FastAPI handler costs: the handler beside those that lack or add one."""

from typing import TYPE_CHECKING, Any, NamedTuple

from inferlab.analyze.autocorrelation import autocorrelation_of
from inferlab.analyze.breakdown import of_breakdown
from inferlab.analyze.results import BREAKDOWN
from inferlab.analyze.rows import FAMILY, Row, grouped, table
from inferlab.analyze.statistics import Estimate, PairedRatio, means_of, paired_logs, ratios_of
from inferlab.analyze.verdicts import Compared, Judged, judge
from inferlab.records import PlainHandler

if TYPE_CHECKING:
    import pandas as pd

METRIC = "latency_mean_s"


class Ingredient(NamedTuple):
    """What a variant of the handler tells the cost of; `added` where the variant has it and the handler has not."""

    name: str
    added: bool = False


INGREDIENTS: dict[PlainHandler, Ingredient] = {
    "no-validation": Ingredient("validation"),
    "no-encoder": Ingredient("encoder"),
    "no-thread-pool": Ingredient("thread pool"),
    "binary": Ingredient("JSON instead of binary tensors"),
    "response-model": Ingredient("response model", added=True),
    "middleware": Ingredient("middleware", added=True),
}

COLUMNS = {
    "ingredient": "str",
    "plain_latency_s": "float64",
    "cost_s": "float64",
    "cost_low_s": "float64",
    "cost_high_s": "float64",
    "cost_share": "float64",
    "cost_share_low": "float64",
    "cost_share_high": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",
    "noise_floor": "float64",
    "verdict": "str",
    "more_rounds_needed": "float64",
}


VERDICTS = {"better": "costs", "worse": "saves", "tie": "tie", "": ""}
"""Of an ingredient, by whether the latency with it is longer as what is added would be."""


class _Variant(NamedTuple):
    """A variant, the handler that it is a variant of, ratio and difference (seconds), and the ratio of the twin."""

    row: Row
    plain: Row
    found: PairedRatio
    difference_s: Estimate
    twin: PairedRatio | None

    @property
    def compared(self) -> Compared:
        """The variant is longer where the ingredient that it adds costs, or where the one that it lacks saves."""
        return Compared(self.found, self.twin, INGREDIENTS[self.row.keys["handler"]].added)


def ablation_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line for each variant of the ordinary handler under each scenario of the studies of this kind.

    `cost_s` is how much longer the mean latency is with the ingredient than without it: the mean of the differences
    paired by round. `cost_share` is that over the handler's latency, from the geometric mean of the round ratios.
    Verdicts are `costs`, `saves` or `tie`, as in comparisons.py from the ratio, Holm's p-value over all lines of a
    study (all models and scenarios), and the noise floor of the handler's twin; blank without a twin.
    """
    variants = [row for row in of_breakdown(rows) if row.keys["handler"]]
    of_studies = [row for row in rows if row.kind == BREAKDOWN and row.measured]
    values: dict[int, dict[str, Any]] = {}
    for study in grouped(of_studies, FAMILY).values():
        groups = grouped(study, ("model", "scenario")).values()
        found = [one for group in groups for one in _variants(group, confidence)]
        for one, judged in zip(found, judge([one.compared for one in found], confidence), strict=True):
            values[id(one.row)] = _costs(one) | _verdict(judged)
    names = [{"ingredient": INGREDIENTS[row.keys["handler"]].name, "verdict": ""} for row in variants]
    return table(variants, COLUMNS, [name | values.get(id(row), {}) for row, name in zip(variants, names, strict=True)])


def _variants(group: list[Row], confidence: float) -> list[_Variant]:
    """Of the measured rows of one model under one scenario, the variants beside the study's reference."""
    first = group[0]
    reference = first.results.plans[(first.keys["study"], first.keys["model"])].reference
    plain = next((row for row in group if row.keys["configuration"] == reference), None)
    if plain is None:
        return []
    twins = [row for row in group if row.keys["twin"]][:1]
    variants = [row for row in group if row.keys["handler"]]
    base = plain.by_round(METRIC)
    autocorrelation = autocorrelation_of([row.by_round(METRIC) for row in group])
    logs = [paired_logs(row.by_round(METRIC), base) for row in (*twins, *variants)]
    ratios = ratios_of(logs, confidence, autocorrelation)
    twin = ratios[0] if twins else None
    differences = [(row.by_round(METRIC) - base).dropna().to_numpy() for row in variants]
    found = zip(variants, ratios[len(twins) :], means_of(differences, confidence, autocorrelation), strict=True)
    return [_Variant(row, plain, ratio, difference_s, twin) for row, ratio, difference_s in found]


def _costs(one: _Variant) -> dict[str, float]:
    """Of the ingredient, which the variant adds or lacks."""
    sign = 1 if INGREDIENTS[one.row.keys["handler"]].added else -1
    costs = sorted(sign * bound for bound in (one.difference_s.low, one.difference_s.high))
    shares = sorted(sign * (ratio - 1) for ratio in (one.found.low, one.found.high))
    return {
        "plain_latency_s": float(one.plain.by_round(METRIC).mean()),
        "cost_s": sign * one.difference_s.value,
        "cost_low_s": costs[0],
        "cost_high_s": costs[1],
        "cost_share": sign * (one.found.ratio - 1),
        "cost_share_low": shares[0],
        "cost_share_high": shares[1],
        "p_value": one.found.p_value,
    }


def _verdict(judged: Judged) -> dict[str, Any]:
    return {
        "p_adjusted": judged.p_adjusted,
        "noise_floor": judged.noise_floor,
        "verdict": VERDICTS[judged.verdict],
        "more_rounds_needed": judged.more_rounds,
    }
