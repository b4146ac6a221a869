"""The page of the optimizations side by side: speed beside accuracy, size and engagement."""

from typing import TYPE_CHECKING, Any

from inferlab.report.figures import colours, figure_html, theme
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
    Fragment,
    engagement_mark,
    heading,
    number,
    percent,
    percent_interval,
    scenario_label,
    with_interval,
)
from inferlab.report.verdicts import verdict_table

if TYPE_CHECKING:
    import pandas as pd

STUDY = "optimization"
PEAK_NOTE = (
    "Of GEMM peak: multiplications and additions a second, as a share of the most that any engine of this study "
    "reached with matrix products alone (the model gemm) on the same device in the same precision: fp32, bf16 or int8. "
    "A row that is in int8 only in part is compared with the peak in int8 all the same."
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def optimization_tables(report: Report, study: str = STUDY) -> Fragment:
    """For each machine and model, what each optimization did on each target."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("optimization", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "closed")]
        noise = report.of_set("noise", found)
        comparisons = report.of_set("comparisons", found)
        for model, of_model in frame.groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            notes = [
                "Speed-up: ratio of throughput, paired by round; above 1 is faster. Against the original on cpu-eager "
                f"(what a user of PyTorch has) and on {_best(of_model)}, the fastest target at full precision. Both "
                "hold what the target does; what the optimization alone does is in the verdicts below, against the "
                "original on the same target.",
                "Accuracy on the artifact that is served, with its Wilson interval; the difference in points is "
                "against the original on the same target, on the same samples (Bonett and Price's paired interval).",
                f"{rounds_note(of_model)} {noise_note(noise, study, str(model))}",
                engagement_note(of_model),
            ]
            with_peak = bool(of_model["gemm_peak_share"].notna().any())
            if with_peak:
                notes.append(PEAK_NOTE)
            columns = _columns(report, list(of_model["scenario"].unique()), with_peak)
            lines = lines_by_target(of_model, _cells)
            identifier = f"optimization-{found['id']}-{model}"
            parts.append(
                render(identifier, lines, columns, on_machine(report, found, "target and configuration"), notes)
            )
            of_study = comparisons[(comparisons["study"] == study) & (comparisons["model"] == model)]
            if len(of_study):
                parts.append(heading(4, "What is a difference, and whose doing it is"))
                parts.append(
                    verdict_table(
                        of_study, f"verdicts-{found['id']}-{model}", report, on_machine(report, found, "verdicts")
                    )
                )
    return Fragment("".join(parts))


def optimization_figures(report: Report, study: str = STUDY) -> Fragment:
    """Speed-up against accuracy, both with their intervals, under the scenario with most callers."""
    theme()
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("optimization", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "closed") & (frame["outcome"] == "measured")]
        frame = frame.dropna(subset=["quality", "speedup_vs_users"])
        for model, of_model in frame.groupby("model", sort=False):
            scenario, title = of_model["scenario"].iloc[-1], on_machine(report, found, str(model))
            parts.append(heading(3, on_machine(report, found, str(model))))
            parts.append(_scatter(of_model[of_model["scenario"] == scenario], title, str(scenario), report))
    return Fragment("".join(parts))


def _best(frame: "pd.DataFrame") -> str:
    names = [str(name) for name in frame["best_fp32"].dropna().unique() if name]
    return " or ".join(names) or "the best engine"


def _columns(report: Report, scenarios: list[str], with_peak: bool) -> list[Column]:
    columns: list[Column] = []
    for scenario in scenarios:
        label = scenario_label(scenario)
        columns += [
            Column(f"{scenario}-p50", f"p50 ms [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-rate", f"requests/s [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-users", "× cpu-eager", label, two_lines=True),
            Column(f"{scenario}-best", "× best fp32", label, two_lines=True),
            *([Column(f"{scenario}-peak", "of GEMM peak", label)] if with_peak else []),
        ]
    return [
        *columns,
        Column("quality", f"% [{report.interval}]", "accuracy", two_lines=True),
        Column("difference", "difference, points", "accuracy", two_lines=True),
        Column("size", "size MiB", "artifact"),
        Column("macs", "MACs kept", "artifact"),
        Column("zeroes", "weights zero", "artifact"),
        Column("low", "MACs in low precision", "artifact"),
    ]


def _cells(group: "pd.DataFrame") -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for line in group.to_dict("records"):
        name = line["scenario"]
        p50 = (line["latency_p50_s"], line["latency_p50_low_s"], line["latency_p50_high_s"])
        rate = (line["throughput_mean_per_s"], line["throughput_low_per_s"], line["throughput_high_per_s"])
        cells[f"{name}-p50"] = with_interval(*p50, 1000.0)
        cells[f"{name}-rate"] = with_interval(*rate)
        for short, column in (("users", "speedup_vs_users"), ("best", "speedup_vs_best_fp32")):
            cells[f"{name}-{short}"] = with_interval(line[column], line[f"{column}_low"], line[f"{column}_high"])
        cells[f"{name}-peak"] = percent(line["gemm_peak_share"], 0)
        quality = (line["quality"], line["quality_low"], line["quality_high"])
        difference = (line["quality_difference"], line["quality_difference_low"], line["quality_difference_high"])
        cells |= {
            "quality": percent_interval(*quality),
            "difference": percent_interval(*difference, 2, True),
            "size": number(line["size_bytes"], 1 / 2**20),
            "macs": percent(line["macs_kept_share"], 0),
            "zeroes": percent(line["sparsity"], 0),
            "low": percent(line["low_precision_mac_share"], 0),
        }
    return cells


def _scatter(frame: "pd.DataFrame", title: str, scenario: str, report: Report) -> str:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8.5, 4.8), layout="constrained")
    palette = colours(list(frame["optimization"].unique()))
    markers = dict(zip(frame["target"].unique(), MARKERS, strict=False))
    for line in frame.to_dict("records"):
        x, y = line["speedup_vs_users"], 100 * line["quality"]
        bounds = [line["speedup_vs_users_low"], line["speedup_vs_users_high"]]
        spread = [[x - bounds[0]], [bounds[1] - x]] if bounds[0] == bounds[0] else None
        quality = [[y - 100 * line["quality_low"]], [100 * line["quality_high"] - y]]
        axis.errorbar(
            x,
            y,
            xerr=spread,
            yerr=quality,
            fmt=markers[line["target"]],
            color=palette[line["optimization"]],
            markersize=8,
            elinewidth=1.1,
            capsize=2.5,
            label=f"{line['optimization']}{engagement_mark(line)} on {line['target']}",
        )
    axis.axvline(1, color="#949494", linewidth=1, linestyle="--")
    axis.set(xlabel="speed-up over the original on cpu-eager (ratio of throughput)", ylabel="accuracy (%)")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    caption = (
        f"{title}: speed-up against accuracy under {scenario_label(scenario)}, with {report.interval}s. "
        f"Up and to the right is better. Colour: optimization; shape: target.{engagement_caption(frame)}"
    )
    return figure_html(figure, caption)
