"""The page of Table 2: throughput."""

from typing import TYPE_CHECKING, Any

from inferlab.report.figures import colours, figure_html, theme, with_labels
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
from inferlab.report.text import Fragment, heading, number, published, scenario_label, with_interval

if TYPE_CHECKING:
    import pandas as pd

STUDY = "serving"
PAPER = "Paper: AWS Inferentia; its model, batch size and number of callers are not stated."


def throughput_tables(report: Report, study: str = STUDY) -> Fragment:
    """Table 2 of every machine: a table a model, a group a target, one caller and eight side by side."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("throughput", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "closed")]
        noise = report.of_set("noise", found)
        for model, of_model in frame.groupby("model", sort=False):
            columns = _columns(report, of_model)
            notes = [
                "Answered requests per second, one item a request; closed loop. Mean, standard deviation and interval "
                "are over rounds. Time per item is the inverse of the mean.",
                f"{rounds_note(of_model)} {noise_note(noise, study, str(model))}",
                paper_note(of_model, PAPER),
                engagement_note(of_model),
            ]
            parts.append(heading(3, on_machine(report, found, str(model))))
            lines = lines_by_target(of_model, _cells)
            identifier = f"throughput-{found['id']}-{model}"
            parts.append(
                render(identifier, lines, columns, on_machine(report, found, "target and configuration"), notes)
            )
    return Fragment("".join(parts))


def throughput_figures(report: Report, study: str = STUDY) -> Fragment:
    """For each machine and model, bars of throughput with their intervals."""
    theme()
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("throughput", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "closed") & (frame["outcome"] == "measured")]
        for model, of_model in frame[~frame["twin"]].groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            title = on_machine(report, found, f"{model}: throughput of each configuration, with its {report.interval}")
            caption = f"{title}. Colour: optimization."
            columns = ("throughput_mean_per_s", "throughput_low_per_s", "throughput_high_per_s")
            parts.append(interval_bars(of_model, columns, 1.0, "requests per second", caption))
    return Fragment("".join(parts))


def interval_bars(frame: "pd.DataFrame", columns: tuple[str, str, str], scale: float, unit: str, caption: str) -> str:
    """Horizontal bars, a panel a scenario, a bar a configuration; `columns` are value, low and high."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    value, low, high = columns
    data = with_labels(frame).assign(shown=lambda labelled: labelled[value] * scale)
    order = list(dict.fromkeys(data["label"]))
    scenarios = list(dict.fromkeys(data["scenario"]))
    size = (12 if len(scenarios) > 1 else 9, 1.1 + 0.27 * len(order))
    figure, axes = plt.subplots(1, len(scenarios), figsize=size, sharey=True, squeeze=False, layout="constrained")
    palette = colours(list(data["optimization"].unique()))
    for axis, scenario in zip(axes[0], scenarios, strict=True):
        here = data[data["scenario"] == scenario]
        sns.barplot(
            data=here, x="shown", y="label", hue="optimization", order=order, palette=palette, dodge=False,
            width=0.7, errorbar=None, legend=False, ax=axis,
        )  # fmt: skip
        places = [order.index(label) for label in here["label"]]
        bounds = [(here["shown"] - here[low] * scale).abs(), (here[high] * scale - here["shown"]).abs()]
        axis.errorbar(here["shown"], places, xerr=bounds, fmt="none", ecolor="#111827", elinewidth=1.2, capsize=2.5)
        axis.set(xlabel=unit, ylabel="", title=scenario_label(str(scenario)))
    return figure_html(figure, f"{caption}{engagement_caption(data)}")


def _columns(report: Report, frame: "pd.DataFrame") -> list[Column]:
    columns = []
    for scenario in frame["scenario"].unique():
        label = scenario_label(scenario)
        columns += [
            Column(f"{scenario}-mean", f"requests/s [{report.interval}]", label),
            Column(f"{scenario}-std", "SD", label),
            Column(f"{scenario}-item", "ms per item", label),
        ]
    return [*columns, *paper_columns(frame, [Column("paper", "mean ± SD", "paper", absent="")])]


def _cells(group: "pd.DataFrame") -> dict[str, Any]:
    cells: dict[str, str] = {}
    for line in group.to_dict("records"):
        scenario = line["scenario"]
        interval = (line["throughput_low_per_s"], line["throughput_high_per_s"])
        cells[f"{scenario}-mean"] = with_interval(line["throughput_mean_per_s"], *interval)
        cells[f"{scenario}-std"] = number(line["throughput_std_per_s"])
        cells[f"{scenario}-item"] = number(line["time_per_item_s"], 1000.0)
        cells["paper"] = published(line["paper_throughput_mean_per_s"], line["paper_throughput_std_per_s"])
    return cells
