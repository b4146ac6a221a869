"""The page of machines: which there are, how they differ, and the same work on each of them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferlab.report.figures import figure_html, plain_ticks, theme
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, STUB, Column, bullet_list, engagement_caption, engagement_note, render
from inferlab.report.text import (
    MISSING,
    Fragment,
    configuration_label,
    engagement_mark,
    heading,
    metric_label,
    paragraph,
    percent_interval,
    scenario_label,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0
ALONE = (
    "All results here are of one machine and environment. Those of others stand beside them once they are brought: "
    "inferlab bring FOLDER, then dvc repro -s analyze report (docs/machines.md)."
)
UNPAIRED = (
    "Unpaired: rounds of different machines have nothing in common, so nothing cancels as it does in the comparisons "
    "of one machine. Ratio: geometric mean over rounds over that of the reference, with Welch's interval; rounds count "
    "for as many as are independent under what each machine drifts by. Better, worse: Holm's p over all lines of the "
    "study is below {:.2g}; open: not shown. There is no noise floor, since no A/A twin stands on two machines, and "
    "what another day or another instance of the same kind would change is in no interval."
)
REFERENCE = (
    "×: over {}, on the same target or, where that was not measured there, on its fastest one, which is named. Each "
    "machine grants its server its own number of cores (see above). Cost is not known: no price stands in the results."
)
WEIGHTS = (
    "Weights: whether the optimized model is the same file as on the reference. Where it is another, it was fitted or "
    "calibrated on each machine, and speed may differ with it as accuracy does."
)
VERDICTS = {"better": "▲ better", "worse": "▼ worse", "open": "open"}
WORK = ["optimization", "path", "batching", "cache_share", "batch_limit", "handler"]
"""What a group of lines has in common; columns of tables/machine_comparisons.csv."""
SCALES = {"latency_p50_s": MS, "throughput_per_s": 1.0}
UNITS = {"latency_p50_s": "p50 ms", "throughput_per_s": "requests/s"}


def machine_tables(report: Report) -> Fragment:
    """A line for each machine and environment: its name in tables, and what stands behind it."""
    columns = [
        Column("chip", "chip", "hardware", left=True),
        Column("cores", "cores", "hardware"),
        Column("memory", "GiB", "hardware"),
        Column("accelerators", "accelerators", "hardware", left=True, absent="none"),
        Column("granted", "server", "cores granted"),
        Column("load", "load", "cores granted"),
        Column("python", "Python", "environment"),
        Column("torch", "torch", "environment"),
        Column("rounds", "rounds", "measured"),
        Column("blocks", "blocks", "measured"),
        Column("days", "days", "measured", left=True),
        Column("ids", "machine and environment", left=True),
    ]
    lines = [_machine_line(found) for found in report.sets]
    parts = [render("machines", lines, columns, "machine")] if lines else []
    if len(report.sets) < 2:
        return Fragment("".join([*parts, paragraph(ALONE)]))
    return Fragment(
        "".join([*parts, heading(3, "What differs in the environments"), bullet_list(_differences(report))])
    )


def work_tables(report: Report) -> Fragment:
    """What several machines measured alike, side by side; nothing where there is one."""
    frame, names = report.table("machine_comparisons"), _names(report)
    against = frame[frame["against_machine_id"] != ""].to_dict("records")
    reference = names[against[0]["against_machine_id"], against[0]["against_environment_id"]] if against else MISSING
    parts = []
    for (study, model), lines in frame.groupby(["study", "model"], sort=False):
        parts.append(heading(3, f"{model}, study {study}"))
        cells, columns = _lines(lines, names, reference), _columns(lines, report)
        parts.append(render(f"work-{study}-{model}", cells, columns, "target and machine", [engagement_note(lines)]))
    if parts:
        notes = [UNPAIRED.format(1 - report.confidence), REFERENCE.format(reference), WEIGHTS]
        parts = [heading(2, "The same work"), *(paragraph(note, "note") for note in notes), *parts]
    if len(report.sets) > 1 and frame.empty:
        parts.append(paragraph("No configuration was measured under the same scenario on two of these machines."))
    return Fragment("".join(parts))


def work_figures(report: Report) -> Fragment:
    """Latency and throughput of the same work, a colour a machine; nothing where there is one."""
    theme()
    frame = report.table("machine_comparisons")
    groups = frame.groupby(["study", "model"], sort=False)
    return Fragment("".join(_intervals(lines, f"{model}, study {study}", report) for (study, model), lines in groups))


def _machine_line(found: Mapping[str, Any]) -> dict[str, Any]:
    days = found["measured_from"] if isinstance(found["measured_from"], str) else ""
    if days and found["measured_to"] != found["measured_from"]:
        days = f"{days} to {found['measured_to']}"
    here = found["this_run"] in (True, "True")
    return {
        STUB: found["machine"] + (" (this run)" if here else ""),
        "chip": found["cpu_model"],
        "cores": f"{found['physical_cores']}",
        "memory": f"{found['memory_gib']}",
        **({"accelerators": found["accelerators"]} if found["accelerators"] else {}),
        "granted": f"{found['server_cores']}",
        "load": f"{found['load_cores']}",
        "python": str(found["python"]),
        "torch": json.loads(found["packages"]).get("torch", "none"),
        "rounds": f"{found['rounds']}",
        "blocks": f"{found['blocks']:,} ({found['blocks_invalid']:,} invalid)",
        "days": days,
        "ids": f"{found['machine_id']} / {found['environment_id']}",
    }


def _differences(report: Report) -> list[str]:
    """For each other machine, the versions that are not those of the first one."""
    first, *others = report.sets
    texts = []
    for found in others:
        pairs = [_versions(one) for one in (first, found)]
        names = sorted({*pairs[0], *pairs[1]})
        changed = [
            f"{name} {pairs[1].get(name, 'none')} (not {pairs[0].get(name, 'none')})"
            for name in names
            if pairs[0].get(name) != pairs[1].get(name)
        ]
        what = "; ".join(changed) if changed else "the same versions of everything that can change a measurement"
        texts.append(f"{found['machine']} against {first['machine']}: {what}.")
    return texts


def _versions(found: Mapping[str, Any]) -> dict[str, str]:
    return {"Python": str(found["python"]), **json.loads(found["packages"])}


def _names(report: Report) -> dict[tuple[str, str], str]:
    return {(found["machine_id"], found["environment_id"]): found["machine"] for found in report.sets}


def _columns(frame: "pd.DataFrame", report: Report) -> list[Column]:
    columns = []
    for scenario, metric in frame[["scenario", "metric"]].drop_duplicates().itertuples(index=False):
        label = scenario_label(scenario)
        columns += [
            Column(f"{scenario}-{metric}", f"{UNITS[metric]} [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-{metric}-ratio", f"× {metric_label(metric)}", label, left=True, absent=""),
        ]
    columns.append(Column("quality", f"accuracy % [{report.interval}]", two_lines=True))
    columns.append(Column("weights", "weights", left=True, absent=""))
    return columns


def _lines(frame: "pd.DataFrame", names: dict[tuple[str, str], str], reference: str) -> list[dict[str, Any]]:
    lines = []
    for _, work in frame.groupby(WORK, sort=False, dropna=False):
        label = configuration_label({**work.to_dict("records")[0], "not_engaged": ""})  # it did or not by target
        targets = {target: place for place, target in enumerate(dict.fromkeys(work["target"]))}
        work = work.sort_values("target", key=lambda column: column.map(targets.__getitem__), kind="stable")
        for _, own in work.groupby(["target", "machine_id", "environment_id"], sort=False):
            records = own.to_dict("records")
            name = names[records[0]["machine_id"], records[0]["environment_id"]]
            line: dict[str, Any] = {GROUP: label, STUB: f"{records[0]['target']}{engagement_mark(records[0])} · {name}"}
            for found in records:
                line |= _cells(found)
                if name == reference:
                    line[f"{found['scenario']}-{found['metric']}-ratio"] = "reference"
            lines.append(line)
    return lines


def _cells(line: dict[Any, Any]) -> dict[str, str]:
    key, scale = f"{line['scenario']}-{line['metric']}", SCALES[line["metric"]]
    cells = {
        key: with_interval(line["value"], line["value_low"], line["value_high"], scale),
        "quality": percent_interval(line["quality"], line["quality_low"], line["quality_high"]),
    }
    if line["verdict"]:
        ratio = with_interval(line["ratio"], line["ratio_low"], line["ratio_high"])
        where = "" if line["against_target"] == line["target"] else f" (to {line['against_target']})"
        cells[f"{key}-ratio"] = f"{ratio} {VERDICTS[line['verdict']]}{where}"
        cells["weights"] = line["weights"] or "not known"
    return cells


def _intervals(frame: "pd.DataFrame", title: str, report: Report) -> str:
    import matplotlib.pyplot as plt
    import seaborn as sns

    names = _names(report)
    labels = [f"{line['target']} · {configuration_label(line)}" for line in frame.to_dict("records")]
    data = frame.assign(label=labels)
    order = list(dict.fromkeys(sorted(labels)))
    panels = list(data.groupby(["metric", "scenario"], sort=False))
    size = (12, 1.3 + 0.3 * len(order))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    palette = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    for axis, ((metric, scenario), lines) in zip(axes[0], panels, strict=True):
        for place, (key, name) in enumerate(names.items()):
            own = lines[(lines["machine_id"] == key[0]) & (lines["environment_id"] == key[1])]
            shift = 0.5 * ((place + 0.5) / len(names) - 0.5)
            heights = [order.index(label) + shift for label in own["label"]]
            value, low, high = (own[f"value{part}"] * SCALES[str(metric)] for part in ("", "_low", "_high"))
            axis.errorbar(
                value, heights, xerr=[value - low, high - value], fmt="o", markersize=4.5, capsize=2, elinewidth=1.1,
                color=palette[key], label=name,
            )  # fmt: skip
        axis.set(xscale="log", xlabel=f"{UNITS[str(metric)]} (log scale)", title=scenario_label(str(scenario)))
        plain_ticks(axis.xaxis)
    axes[0][0].set_yticks(range(len(order)), order)
    axes[0][0].set_ylim(len(order) - 0.5, -0.5)
    handles, shown = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="outside lower center", ncols=min(len(names), 3), frameon=False)
    return figure_html(
        figure,
        f"{title}: the same work on each machine, with {report.interval}s over its own rounds; not paired."
        f"{engagement_caption(frame)}",
    )
