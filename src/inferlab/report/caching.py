"""The page of the response cache: what it buys under requests of which some come again more often than others."""

from typing import TYPE_CHECKING, Any

from inferlab.report.figures import figure_html, plain_ticks, theme
from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import (
    Column,
    engagement_caption,
    engagement_note,
    lines_by_target,
    noise_note,
    render,
    rounds_note,
)
from inferlab.report.text import (
    MISSING,
    Fragment,
    engagement_mark,
    heading,
    missing,
    not_selected,
    number,
    percent_interval,
    scenario_label,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

STUDY = "caching"
MS = 1000.0


def caching_tables(report: Report, study: str = STUDY) -> Fragment:
    """For each machine and model, the endpoint without a cache and with each size of it."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("caching", found)
        frame = frame[frame["study"] == study]
        noise = report.of_set("noise", found)
        if frame.empty:
            parts.append(not_selected(STUDY))
        for (model, scenario), lines in frame.groupby(["model", "scenario"], sort=False):
            parts.append(heading(3, on_machine(report, found, f"{model}, {scenario_label(str(scenario))}")))
            notes = [
                f"{_mix(lines)} A cache holds the most recently used answers; its size is the share of the distinct "
                "requests whose answers it holds. It is filled before the first round. Expected hits: Che's "
                "approximation for such draws one after the other; equal requests that are under way at once all miss.",
                "Speed-up: ratio of throughput to the endpoint without a cache, paired by round. Hit and miss: median "
                "latency of all measured requests of a kind. Which differences are real is on the page of comparisons.",
                f"{rounds_note(lines)} {noise_note(noise, study, str(model))}",
                engagement_note(lines),
            ]
            identifier = f"caching-{found['id']}-{model}-{scenario}"
            cells = lines_by_target(lines, _cells)
            parts.append(
                render(
                    identifier, cells, _columns(report), on_machine(report, found, "target and configuration"), notes
                )
            )
    return Fragment("".join(parts))


def caching_figures(report: Report, study: str = STUDY) -> Fragment:
    """Speed-up against the share of hits, a line a model and target, with their intervals."""
    theme()
    parts = []
    for found in report.sets:
        frame = report.of_set("caching", found)
        frame = frame[(frame["study"] == study) & (frame["outcome"] == "measured")].dropna(subset=["speedup"])
        if len(frame):
            parts += [
                machine_heading(report, found),
                _curves(frame, on_machine(report, found, "What a response cache buys"), report),
            ]
    return Fragment("".join(parts))


def _mix(frame: "pd.DataFrame") -> str:
    first = frame.iloc[0]
    return (
        f"{int(first['distinct']):,} distinct requests, the k-th most popular drawn in proportion to "
        f"1/k^{first['zipf_exponent']:g}."
    )


def _columns(report: Report) -> list[Column]:
    return [
        Column("hits", f"measured % [{report.interval}]", "hits", two_lines=True),
        Column("expected", "expected %", "hits"),
        Column("rate", f"requests/s [{report.interval}]", "throughput", two_lines=True),
        Column("speedup", "speed-up", "throughput", two_lines=True),
        Column("p50", f"p50 ms [{report.interval}]", "latency", two_lines=True),
        Column("hit", "hit ms", "latency"),
        Column("miss", "miss ms", "latency"),
        Column("cpu", "CPU-ms per request", "cost"),
    ]


def _cells(group: "pd.DataFrame") -> dict[str, Any]:
    line = group.to_dict("records")[0]
    return {
        "hits": percent_interval(line["hit_share"], line["hit_share_low"], line["hit_share_high"]),
        "expected": number(line["hit_share_expected"], 100.0),
        "rate": with_interval(
            line["throughput_mean_per_s"], line["throughput_low_per_s"], line["throughput_high_per_s"]
        ),
        "speedup": with_interval(line["speedup"], line["speedup_low"], line["speedup_high"]),
        "p50": with_interval(line["latency_p50_s"], line["latency_p50_low_s"], line["latency_p50_high_s"], MS),
        "hit": number(line["hit_latency_p50_s"], MS),
        "miss": number(line["miss_latency_p50_s"], MS) if line["cache_share"] else MISSING,
        "cpu": number(line["cpu_s_per_request"], MS),
    }


def _curves(frame: "pd.DataFrame", title: str, report: Report) -> str:
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axis = plt.subplots(figsize=(8.5, 4.8), layout="constrained")
    frame = frame.assign(
        optimization=[f"{one['optimization']}{engagement_mark(one)}" for one in frame.to_dict("records")]
    )
    groups = list(frame.groupby(["model", "target", "optimization", "scenario"], sort=False))
    for (names, lines), colour in zip(groups, sns.color_palette("colorblind", len(groups)), strict=True):
        x, y = 100 * lines["hit_share"], lines["speedup"]
        across = [x - 100 * lines["hit_share_low"], 100 * lines["hit_share_high"] - x]
        bounds = [y - lines["speedup_low"], lines["speedup_high"] - y]
        axis.errorbar(
            x,
            y,
            xerr=None if missing(across[0].iloc[0]) else across,
            yerr=None if missing(bounds[0].iloc[0]) else bounds,
            color=colour,
            marker="o",
            elinewidth=1.1,
            capsize=2.5,
            label=" · ".join(str(name) for name in names[:3]),
        )
    axis.axhline(1, color="#949494", linewidth=1, linestyle="--")
    axis.set(yscale="log", xlabel="answered from the cache (%)", ylabel="speed-up over no cache (log scale)")
    plain_ticks(axis.yaxis)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    caption = f"{title}: speed-up against the share of hits, with {report.interval}s.{engagement_caption(frame)}"
    return figure_html(figure, caption)
