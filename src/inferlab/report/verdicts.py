"""What a difference is called, against both references side by side."""

from typing import TYPE_CHECKING, Any

from inferlab.report.source import Report
from inferlab.report.tables import GROUP, STUB, Column, engagement_note, render
from inferlab.report.text import MISSING, configuration_label, metric_label, scenario_label, with_interval

if TYPE_CHECKING:
    import pandas as pd

VERDICT_TEXT = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie", "": "no verdict"}

AGAINST = {
    "original on the same target": "The original behind the same target, path and batching: what the optimization did.",
    "the reference": "The reference of the study, {reference}: what engine, optimization and path did together.",
}
"""The references of comparisons.csv, and what a difference to them says."""

HOLM = (
    "A difference is called one where Holm's p, over all comparisons of the study (all models, both references), is "
    "below {:.2g} and the ratio lies beyond the noise floor of the reference's twin."
)


def verdict_table(comparisons: "pd.DataFrame", identifier: str, report: Report, stub: str) -> str:
    """Ratio and verdict of each configuration of one study and model; a column a scenario and reference."""
    scenarios = list(dict.fromkeys(comparisons["scenario"]))
    columns = [
        Column(f"{scenario}-{against}", scenario_label(scenario), f"against {against}", left=True)
        for against in AGAINST
        for scenario in scenarios
    ]
    lines = []
    for (metric, _), group in comparisons.groupby(["metric", "configuration"], sort=False):
        first = group.to_dict("records")[0]
        line: dict[str, Any] = {
            GROUP: f"{metric_label(str(metric))}, ratio [{report.interval}] ({first['better']} is better)",
            STUB: f"{first['target']} · {configuration_label(first)}",
        }
        for found in group.to_dict("records"):
            ratio = with_interval(found["ratio"], found["ratio_low"], found["ratio_high"])
            line[f"{found['scenario']}-{found['against']}"] = f"{ratio} {VERDICT_TEXT[found['verdict']]}"
        lines.append(line)
    reference = comparisons["reference"][comparisons["against"] == "the reference"]
    named = reference.iloc[0] if len(reference) else MISSING
    notes = [f"Against {against}. {text.format(reference=named)}" for against, text in AGAINST.items()]
    notes += [HOLM.format(1 - report.confidence), engagement_note(comparisons)]
    return render(identifier, lines, columns, stub, notes)
