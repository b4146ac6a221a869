"""The page of Table 1: latency."""

from typing import TYPE_CHECKING

from inferlab.report.figures import colours, figure_html, plain_ticks, theme, with_labels
from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import (
    Column,
    engagement_caption,
    engagement_note,
    lines_by_target,
    noise_note,
    paper_columns,
    paper_note,
    render,
    rounds_note,
)
from inferlab.report.text import (
    Fragment,
    heading,
    number,
    published,
    scenario_label,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

STUDY = "serving"
PAPER = "Paper: AWS Inferentia; its model, batch size and number of callers are not stated."
MS = 1000.0


def latency_tables(report: Report, study: str = STUDY) -> Fragment:
    """Table 1 of every machine: a table a model, a group a target, one caller and eight side by side."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("latency", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "closed")]
        noise = report.of_set("noise", found)
        for model, of_model in frame.groupby("model", sort=False):
            identifier = f"latency-{found['id']}-{model}"
            columns = _columns(report, of_model)
            notes = [
                "Latency in milliseconds for each request, queueing included, counted from its scheduled time; closed "
                "loop. Mean and p50, with their intervals, are over rounds; SD, p95 and p99 are of all measured "
                "requests.",
                f"{rounds_note(of_model)} {_failures(of_model)} {noise_note(noise, study, str(model))}",
                paper_note(of_model, PAPER),
                engagement_note(of_model),
            ]
            parts.append(heading(3, on_machine(report, found, str(model))))
            lines = lines_by_target(of_model, _cells)
            parts.append(
                render(identifier, lines, columns, on_machine(report, found, "target and configuration"), notes)
            )
    return Fragment("".join(parts))


def latency_figures(report: Report, study: str = STUDY) -> Fragment:
    """For each machine and model, the distribution of latency of every measured configuration."""
    theme()
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        quantiles = report.of_set("latency_quantiles", found)
        quantiles = quantiles[(quantiles["study"] == study) & (quantiles["loop"] == "closed") & ~quantiles["twin"]]
        for model, of_model in quantiles.groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            parts.append(_distributions(of_model, on_machine(report, found, f"{model}: latency of each configuration")))
    return Fragment("".join(parts))


def _failures(frame: "pd.DataFrame") -> str:
    failed = int(frame["requests_failed"].sum())
    return f"{failed:,} requests failed (errors, time-outs, rejections); their blocks are invalid." if failed else ""


def _columns(report: Report, frame: "pd.DataFrame") -> list[Column]:
    columns = []
    for scenario in frame["scenario"].unique():
        label = scenario_label(scenario)
        columns += [
            Column(f"{scenario}-mean", f"mean [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-std", "SD", label),
            Column(f"{scenario}-p50", f"p50 [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-p95", "p95", label),
            Column(f"{scenario}-p99", "p99", label),
        ]
    return [*columns, *paper_columns(frame, [Column("paper", "mean ± SD", "paper", absent="")])]


def _cells(group: "pd.DataFrame") -> dict[str, str]:
    cells: dict[str, str] = {}
    for line in group.to_dict("records"):
        scenario = line["scenario"]
        bounds = (line["latency_mean_low_s"], line["latency_mean_high_s"])
        cells[f"{scenario}-mean"] = with_interval(line["latency_mean_s"], *bounds, MS)
        cells[f"{scenario}-std"] = number(line["latency_std_s"], MS, 2)
        interval = (line["latency_p50_low_s"], line["latency_p50_high_s"])
        cells[f"{scenario}-p50"] = with_interval(line["latency_p50_s"], *interval, MS)
        cells[f"{scenario}-p95"] = number(line["latency_p95_s"], MS)
        cells[f"{scenario}-p99"] = number(line["latency_p99_s"], MS)
        cells["paper"] = published(line["paper_latency_mean_ms"], line["paper_latency_std_ms"])
    return cells


def _distributions(quantiles: "pd.DataFrame", title: str) -> str:
    import matplotlib.pyplot as plt
    import seaborn as sns

    data = with_labels(quantiles).assign(latency_ms=lambda frame: frame["latency_s"] * MS)
    data = data[(data["quantile"] >= 0.05) & (data["quantile"] <= 0.95)]
    order = list(dict.fromkeys(data["label"]))
    scenarios = list(dict.fromkeys(data["scenario"]))
    figure, axes = plt.subplots(
        1, len(scenarios), figsize=(12, 1.1 + 0.3 * len(order)), sharey=True, squeeze=False, layout="constrained"
    )
    palette = colours(list(data["optimization"].unique()))
    for axis, scenario in zip(axes[0], scenarios, strict=True):
        sns.boxplot(
            data=data[data["scenario"] == scenario],
            x="latency_ms",
            y="label",
            hue="optimization",
            order=order,
            palette=palette,
            dodge=False,
            whis=(0, 100),
            width=0.6,
            linewidth=0.9,
            legend=False,
            ax=axis,
        )
        axis.set(xscale="log", xlabel="latency (ms, log scale)", ylabel="", title=scenario_label(str(scenario)))
        plain_ticks(axis.xaxis)
    caption = (
        f"{title}. Box: middle half of the requests, line: median, whiskers: 5th to 95th percentile. "
        f"Colour: optimization.{engagement_caption(data)}"
    )
    return figure_html(figure, caption)
