"""The page of Table 3: what the server used."""

from typing import TYPE_CHECKING

from inferlab.report.figures import theme
from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import (
    Column,
    engagement_note,
    lines_by_target,
    noise_note,
    paper_columns,
    paper_note,
    render,
    rounds_note,
)
from inferlab.report.text import Fragment, heading, number, paragraph, published, scenario_label, with_interval
from inferlab.report.throughput import interval_bars

if TYPE_CHECKING:
    import pandas as pd

STUDY = "serving"
MS = 1000.0
ENERGY = {"energy_j_per_request": "CPU packages", "accelerator_energy_j_per_request": "accelerator"}
QUANTITIES = {"energy_j": "energy of the CPU packages", "accelerator_utilization_percent": "use of an accelerator"}
"""What the table would show and not every machine can tell."""


def utilization_tables(report: Report, study: str = STUDY) -> Fragment:
    """Table 3 of every machine: a table a model; the common offered rate beside the closed loops."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("utilization", found)
        frame = frame[frame["study"] == study]
        noise = report.of_set("noise", found)
        absent = report.of_set("telemetry_absent", found)
        absent = absent[absent["study"] == study]
        for model, of_model in frame.groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            notes = [
                "CPU: percent of the cores granted to the server, mean over rounds with its interval; a saturated core "
                "reads 100 % whatever it runs, so compare CPU time per request at the common rate. CPU time per "
                "request: geometric mean over rounds. On the path direct the callers run in the server's process, so "
                "that its CPU time includes theirs.",
                "Memory: peak proportional set size (PSS) of the server's processes, and its share of the machine's "
                "memory, under the scenario with most callers. Accelerator: busy percent as its vendor counts it.",
                cores_note(of_model),
                _energy_note(of_model),
                _absent_note(absent[absent["model"] == model]),
                f"{_rates(of_model)} {rounds_note(of_model)} {noise_note(noise, study, str(model))}",
                paper_note(of_model, "Paper: AWS Inferentia; what its percentages are of is not stated."),
                engagement_note(of_model),
            ]
            columns = _columns(report, of_model)
            lines = lines_by_target(of_model, _cells)
            identifier = f"utilization-{found['id']}-{model}"
            parts.append(
                render(identifier, lines, columns, on_machine(report, found, "target and configuration"), notes)
            )
    return Fragment("".join(parts))


def utilization_figures(report: Report, study: str = STUDY) -> Fragment:
    """CPU time per request at the common offered rate, for each machine and model."""
    theme()
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("utilization", found)
        frame = frame[(frame["study"] == study) & (frame["loop"] == "open") & (frame["outcome"] == "measured")]
        frame = frame[~frame["twin"]].dropna(subset=["cpu_s_per_request"])
        if frame.empty:
            parts.append(paragraph("No configuration was measured at a common rate on this machine."))
        columns = ("cpu_s_per_request", "cpu_s_per_request_low", "cpu_s_per_request_high")
        for model, of_model in frame.groupby("model", sort=False):
            title = f"{model}: CPU time that the server spends on a request, at one offered rate for all"
            caption = f"{on_machine(report, found, title)}."
            parts.append(heading(3, on_machine(report, found, str(model))))
            parts.append(interval_bars(of_model, columns, MS, "CPU milliseconds per request", caption))
    return Fragment("".join(parts))


def _rates(frame: "pd.DataFrame") -> str:
    offered = frame[(frame["loop"] == "open") & (frame["outcome"] == "measured")]["offered_rate_per_s"].dropna()
    return f"Common rate: {number(offered.median())} requests/s offered to every configuration." if len(offered) else ""


def _measured_energy(frame: "pd.DataFrame") -> list[str]:
    """The kinds of energy that any line has."""
    return [name for name in ENERGY if frame[name].notna().any()]


def _energy_note(frame: "pd.DataFrame") -> str:
    if not _measured_energy(frame):
        return ""
    return (
        "Energy: joules per answered request, geometric mean over rounds, under the scenario with most callers. That "
        "of the CPU packages is of all that runs on them, the load client and idle cores included."
    )


def cores_note(frame: "pd.DataFrame") -> str:
    """How many of the accelerator's cores that a server was given it used, fewer told row by row."""
    known = frame.dropna(subset=["accelerator_cores_used", "accelerator_cores_granted"])
    if known.empty:
        return ""
    fewer = known[known["accelerator_cores_used"] < known["accelerator_cores_granted"]]
    told = [
        f"{line['configuration']} under {line['scenario']} used {line['accelerator_cores_used']:g} of "
        f"{line['accelerator_cores_granted']:g}"
        for line in fewer.to_dict("records")
    ]
    return f"Cores of the accelerator, mean over rounds: {'; '.join(told) or 'all that were granted were used'}."


def _absent_note(absent: "pd.DataFrame") -> str:
    """What no line of the table has, and why."""
    reasons = dict(zip(absent["column"], absent["reason"], strict=True))
    parts = [f"{name}: {reasons[column]}" for column, name in QUANTITIES.items() if column in reasons]
    return f"Not measured here: {'. '.join(parts)}." if parts else ""


def _columns(report: Report, frame: "pd.DataFrame") -> list[Column]:
    columns = []
    for scenario in frame["scenario"].unique():
        label = scenario_label(scenario)
        columns += [
            Column(f"{scenario}-cpu", f"CPU % [{report.interval}]", label, two_lines=True),
            Column(f"{scenario}-cost", f"CPU ms per request [{report.interval}]", label, two_lines=True),
        ]
    shared = [
        Column("memory", f"PSS MiB [{report.interval}]", "memory", two_lines=True),
        Column("memory-share", "%", "memory"),
    ]
    shared += [Column("accelerator", "%", "accelerator")]
    shared += [
        Column(name, f"{ENERGY[name]} [{report.interval}]", "energy, J per request", two_lines=True)
        for name in _measured_energy(frame)
    ]
    paper = [
        Column("paper-cpu", "CPU %", "paper", absent=""),
        Column("paper-memory", "memory %", "paper", absent=""),
        Column("paper-accelerator", "accelerator %", "paper", absent=""),
    ]
    return [*columns, *shared, *paper_columns(frame, paper)]


def _cells(group: "pd.DataFrame") -> dict[str, str]:
    cells: dict[str, str] = {}
    for line in group.to_dict("records"):
        scenario = line["scenario"]
        bounds = (line["cpu_percent_low"], line["cpu_percent_high"])
        cells[f"{scenario}-cpu"] = with_interval(line["cpu_percent"], *bounds)
        cost = (line["cpu_s_per_request"], line["cpu_s_per_request_low"], line["cpu_s_per_request_high"])
        cells[f"{scenario}-cost"] = with_interval(*cost, MS)
        cells["paper-cpu"] = published(line["paper_cpu_percent"])
        cells["paper-memory"] = published(line["paper_memory_percent"])
        cells["paper-accelerator"] = published(line["paper_accelerator_percent"])
        if line["loop"] == "closed":  # the last closed loop has most callers
            memory = (line["memory_pss_mib"], line["memory_pss_mib_low"], line["memory_pss_mib_high"])
            cells["memory"] = with_interval(*memory)
            cells["memory-share"] = number(line["memory_percent"])
            cells["accelerator"] = number(line["accelerator_percent"])
            cells |= {name: with_interval(line[name], line[f"{name}_low"], line[f"{name}_high"]) for name in ENERGY}
    return cells
