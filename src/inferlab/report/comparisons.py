"""The page of comparisons: verdicts, the noise floor, and the interactions of precision, batching and path."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inferlab.report.figures import VERDICT_COLOURS, figure_html, theme, with_labels
from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, MUTED, STUB, Column, engagement_caption, engagement_note, render, twin_note
from inferlab.report.text import (
    MISSING,
    Fragment,
    configuration_label,
    engagement_mark,
    factor,
    heading,
    metric_label,
    missing,
    number,
    p_value,
    paragraph,
    scenario_label,
    with_interval,
)
from inferlab.report.verdicts import AGAINST, HOLM, VERDICT_TEXT

if TYPE_CHECKING:
    import pandas as pd

LEAST_GAP = 0.09
"""Between two numbers of an axis, as a share of its length."""
RATIO_LADDERS = (
    [round(0.8 + 0.05 * step, 2) for step in range(9)],
    [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2],
    [0.2, 0.3, 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 3, 4],
    [0.1, 0.2, 0.5, 1, 2, 5, 10],
    [float(10**power) for power in range(-4, 5)],
)


def noise_tables(report: Report) -> Fragment:
    """The A/A twin of every study: what this machine cannot tell apart."""
    parts = []
    columns = [
        Column("median", "median ratio"),
        Column("ratio", f"ratio [{report.interval}]"),
        Column("floor", "noise floor"),
        Column("rounds", "rounds"),
        Column("twin", "does the twin agree?", left=True),
    ]
    for found in report.sets:
        noise = report.of_set("noise", found)
        lines = [
            {
                GROUP: f"{line['study']}: {line['model']}",
                STUB: f"{scenario_label(line['scenario'])}, {metric_label(line['metric'])}",
                "median": number(line["ratio_median"], digits=4),
                "ratio": with_interval(line["ratio"], line["ratio_low"], line["ratio_high"], digits=4),
                "floor": factor(line["noise_floor"]),
                "rounds": str(line["rounds"]),
                "twin": f"▲ {line['twin_warning']}" if line["twin_warning"] else "yes",
            }
            for line in noise.to_dict("records")
        ]
        notes = [
            "Twin over reference, paired by round: the same configuration measured twice under two names. The noise "
            "floor is the factor, up or down, that the twin's interval still holds; a smaller difference is a tie.",
        ]
        if (noise["twin_warning"] != "").any():
            notes.append(
                "▲ The twin's interval excludes 1: servers of one kind differ here, or chance has it so, as in one "
                "case of twenty. Where the interval holds 1 and the median is off by more than 3 %, more rounds would "
                "tell. No difference below the floor is called one."
            )
        parts += [
            machine_heading(report, found),
            render(f"noise-{found['id']}", lines, columns, on_machine(report, found, "A/A"), notes),
        ]
    return Fragment("".join(parts))


def comparison_tables(report: Report) -> Fragment:
    """Every measured configuration against both references, with verdicts."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("comparisons", found)
        noise = report.of_set("noise", found)
        for (study, model), of_study in frame.groupby(["study", "model"], sort=False):
            parts.append(heading(3, on_machine(report, found, f"{model}, study {study}")))
            twins = noise[(noise["study"] == study) & (noise["model"] == model)]
            for against, lines in of_study.groupby("against", sort=False):
                identifier = f"comparisons-{found['id']}-{study}-{model}-{str(against).replace(' ', '-')}"
                parts.append(heading(4, f"Against {against}"))
                parts.append(paragraph(AGAINST[str(against)].format(reference=lines["reference"].iloc[0])))
                parts.append(
                    _verdicts(lines, twin_note(twins), identifier, report, on_machine(report, found, "configuration"))
                )
    return Fragment("".join(parts))


def comparison_figures(report: Report) -> Fragment:
    """Forest plots for each machine, study, model and reference: ratios, intervals, and the noise floor's band."""
    theme()
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("comparisons", found)
        for (study, model), of_study in frame.groupby(["study", "model"], sort=False):
            parts.append(heading(3, on_machine(report, found, f"{model}, study {study}")))
            title = on_machine(report, found, f"{model}, study {study}")
            for against, lines in of_study.groupby("against", sort=False):
                parts.append(_forest(lines, title, str(against), report))
    return Fragment("".join(parts))


def interaction_tables(report: Report) -> Fragment:
    """Factorial contrasts of precision, batching and path."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("interactions", found)
        for model, of_model in frame.groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            parts.append(
                _interactions(
                    of_model, f"interactions-{found['id']}-{model}", report, on_machine(report, found, "contrast")
                )
            )
    return Fragment("".join(parts))


def verdict_line(line: dict[Any, Any]) -> dict[str, Any]:
    """The texts of one comparison."""
    more = line["more_rounds_needed"]
    return {
        GROUP: f"{metric_label(line['metric'])} ({line['better']} is better), {scenario_label(line['scenario'])}",
        STUB: f"{line['target']} · {configuration_label(line)}",
        MUTED: line["verdict"] in ("tie", ""),
        "ratio": _ratio(line),
        "verdict": VERDICT_TEXT[line["verdict"]] + (f" ({line['note']})" if line["note"] else ""),
        "rounds": f"{number(line['effective_rounds'], digits=2)} of {line['rounds']}",
        "p": p_value(line["p_adjusted"]),
        "floor": factor(line["noise_floor"]),
        "more": MISSING if missing(more) else f"{round(more):,}",
    }


def _verdicts(frame: "pd.DataFrame", twin: str, identifier: str, report: Report, stub: str) -> str:
    columns = [
        Column("ratio", f"ratio [{report.interval}]"),
        Column("verdict", "verdict", left=True),
        Column("rounds", "independent rounds"),
        Column("p", "Holm p"),
        Column("floor", "noise floor"),
        Column("more", "more rounds to separate"),
    ]
    notes = [
        f"Ratio paired by round (geometric mean, t interval of the log ratios). {HOLM.format(1 - report.confidence)}",
        "Independent rounds: what the rounds count for in intervals and tests, since neighbours are alike.",
        "More rounds: what a tie would take, if the difference seen is the true one, to be found at 80 % power "
        "and to leave the noise floor; a dash where the twin's own difference is as large.",
        twin,
        engagement_note(frame),
    ]
    return render(identifier, [verdict_line(line) for line in frame.to_dict("records")], columns, stub, notes)


def _ratio(line: dict[Any, Any]) -> str:
    return with_interval(line["ratio"], line["ratio_low"], line["ratio_high"])


def _forest(frame: "pd.DataFrame", title: str, against: str, report: Report) -> str:
    import matplotlib.pyplot as plt

    data = with_labels(frame)
    order = list(dict.fromkeys(data["label"]))
    throughput = data[data["metric"] == "throughput_per_s"]
    shown = throughput if len(throughput) else data
    panels = [group for _, group in shown.groupby("scenario", sort=False)]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(12, 1.1 + 0.27 * len(order)), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        floor = float(panel["noise_floor"].iloc[0])
        if floor == floor:
            axis.axvspan(2.718281828**-floor, 2.718281828**floor, color="#bbbbbb", alpha=0.45, linewidth=0)
        axis.axvline(1, color="#4b5563", linewidth=1)
        for line in panel.to_dict("records"):
            spread = [[line["ratio"] - line["ratio_low"]], [line["ratio_high"] - line["ratio"]]]
            colour = VERDICT_COLOURS[line["verdict"]]
            axis.errorbar(
                line["ratio"], order.index(line["label"]), xerr=spread, fmt="o", color=colour, markersize=5, capsize=2.5
            )
        axis.set(xscale="log", title=scenario_label(str(panel["scenario"].iloc[0])))
        _ratio_ticks(axis, panel)
    # Once for all panels: below each, two of them would meet.
    unit = f"ratio of {metric_label(shown['metric'].iloc[0])} to {against} (log scale)"
    figure.supxlabel(unit, fontsize=axes[0][0].xaxis.label.get_size())
    axes[0][0].set_yticks(range(len(order)), order)
    axes[0][0].set_ylim(len(order) - 0.5, -0.5)
    caption = (
        f"{title}: {metric_label(shown['metric'].iloc[0])} over that of {against}, with {report.interval}s. Green: "
        "better, orange: worse, grey: tie; the grey band is the noise floor of the A/A twin."
        f"{engagement_caption(shown)}"
    )
    return figure_html(figure, caption)


def _ratio_ticks(axis: Any, panel: "pd.DataFrame") -> None:
    """Round ratios that cover the panel: the densest ladder whose rungs leave room for their numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(panel["ratio_low"].min(), 1.0), max(panel["ratio_high"].max(), 1.0)
    room = LEAST_GAP * math.log(high / low)
    inside = [[tick for tick in ladder if low * 0.95 <= tick <= high * 1.05] for ladder in RATIO_LADDERS]
    roomy = (found for found in inside if all(math.log(b / a) >= room for a, b in pairwise(found)))
    ticks = next(roomy, inside[-1])
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _interactions(frame: "pd.DataFrame", identifier: str, report: Report, stub: str) -> str:
    keys = ["target", "metric", "contrast"]
    scenarios = list(dict.fromkeys(frame["scenario"]))
    lines = []
    for (target, metric, contrast), group in frame.groupby(keys, sort=False):
        first = group.to_dict("records")[0]
        mark = engagement_mark(first) if "precision" in str(contrast) else ""
        line: dict[str, Any] = {GROUP: f"{target}, {metric_label(str(metric))}", STUB: f"{contrast}{mark}"}
        line["meaning"] = group["meaning"].iloc[0]
        for found in group.to_dict("records"):
            line[found["scenario"]] = _ratio(found) + (" *" if found["p_adjusted"] < 1 - report.confidence else "")
        lines.append(line)
    columns = [Column("meaning", "value is a", left=True)]
    columns += [Column(str(name), f"{scenario_label(str(name))} [{report.interval}]") for name in scenarios]
    notes = [
        "High over low level: int8-static over fp32, batching over none, fastapi over direct. A main effect is a ratio "
        "averaged over the other factors; a pair says by which factor one effect changes with the other. 1: no effect.",
        f"* Holm's p over this model's contrasts is below {1 - report.confidence:.2g}.",
        engagement_note(frame.assign(optimization="low precision")),
    ]
    return render(identifier, lines, columns, stub, notes)
