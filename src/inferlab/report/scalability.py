"""The page of Table 4: what load does to latency and throughput."""

from typing import TYPE_CHECKING, Any

from inferlab.report.page import machine_heading, on_machine
from inferlab.report.scalability_figures import latency_curves, throughput_curves
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, MUTED, STUB, Column, engagement_note, noise_note, render, rounds_note
from inferlab.report.text import (
    MISSING,
    Fragment,
    configuration_label,
    heading,
    missing,
    not_selected,
    number,
    percent_interval,
    scenario_label,
    why_not,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0
PERCENTILES = ("p50", "p95", "p99")
VERDICTS = {"above": "▲ above it", "within": "= within it", "open": "open", "": ""}


def load_tables(report: Report) -> Fragment:
    """Table 4 of every machine: a table a model, a group a configuration, a line a load; then the knees."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame, knees = report.of_set("scalability", found), report.of_set("knees", found)
        if frame.empty:
            parts.append(not_selected("scalability"))
        for (study, model), lines in frame.groupby(["study", "model"], sort=False):
            notes = [
                "Closed loop: so many callers, each of whom sends its next request when the last one is answered. Open "
                "loop: requests at random moments (a Poisson process) at a share of the configuration's own capacity; "
                "latency counts from the moment at which a request was due. Load: offered rate over the "
                "throughput of the closed loop with most callers in the same rounds. An item is a picture or a text.",
                "Saturated: at 95 % of that and more, what waits grows for as long as the load lasts. Latency then "
                "depends on how long a block is (profiles: measure.block_s), and so it does, less, just below.",
                "Percentiles are of all measured requests, with Woodruff's interval over rounds; … where requests are "
                "too few for an upper bound, – where too few for the percentile.",
                f"{rounds_note(lines)} {noise_note(report.of_set('noise', found), str(study), str(model))}",
                engagement_note(lines),
            ]
            identifier = f"scalability-{found['id']}-{study}-{model}"
            parts.append(heading(3, on_machine(report, found, f"{model}: {scenario_label(str(study))}")))
            parts.append(
                render(
                    identifier,
                    _lines(lines),
                    _columns(report),
                    on_machine(report, found, "configuration and load"),
                    notes,
                )
            )
            own = knees[(knees["study"] == study) & (knees["model"] == model)]
            if len(own):
                parts.append(
                    _knees(
                        own, f"knees-{found['id']}-{study}-{model}", report, on_machine(report, found, "configuration")
                    )
                )
    return Fragment("".join(parts))


def load_figures(report: Report) -> Fragment:
    """Latency against load with the knees, and throughput against callers, for each machine and model."""
    parts = []
    for found in report.sets:
        frame, knees = report.of_set("scalability", found), report.of_set("knees", found)
        frame = frame[frame["outcome"] == "measured"]
        if len(frame):
            parts.append(machine_heading(report, found))
        for (study, model), lines in frame.groupby(["study", "model"], sort=False):
            own = knees[(knees["study"] == study) & (knees["model"] == model)]
            title = on_machine(report, found, str(model))
            levels, crowds = lines.dropna(subset=["share_of_capacity"]), lines.dropna(subset=["callers"])
            crowds = crowds[crowds["items"] == 1]
            if len(levels):
                parts.append(latency_curves(levels, own, title, report.interval))
            if crowds["callers"].nunique() > 1:
                parts.append(throughput_curves(crowds, title, report.interval))
    return Fragment("".join(parts))


def rate_limit_tables(report: Report) -> Fragment:
    """The highest rate that keeps p99 latency under a limit, as a search found it in every round."""
    parts = []
    columns = [
        Column("rate", f"requests/s [{report.interval}]", "highest rate"),
        Column("share", "% of capacity", "highest rate"),
        Column("gain", f"× reference [{report.interval}]", "highest rate"),
        Column("searches", "searches"),
    ]
    for found in report.sets:
        frame = report.of_set("rate_limits", found)
        if frame.empty:
            continue
        parts.append(machine_heading(report, found) or heading(2, "The highest rate under a limit"))
        for (study, model, scenario), lines in frame.groupby(["study", "model", "scenario"], sort=False):
            first = lines.iloc[0]
            notes = [
                f"The highest rate whose 99th percentile of latency was at most {number(first['p99_limit_s'], MS)} ms, "
                f"found in every round by bisection: {first['steps']:.0f} blocks of a Poisson process, each of about a "
                "hundred requests or more, between 0 and 125 % of the capacity, so to "
                f"1/{2 ** first['steps']:.0f} of that. Mean over the rounds whose search came to its end; 0 where no "
                "rate kept the limit. Longer blocks see longer queues.",
                _never_exceeded(lines),
                engagement_note(lines),
            ]
            parts.append(heading(3, on_machine(report, found, f"{model}: {scenario_label(str(scenario))}")))
            identifier = f"limit-{found['id']}-{study}-{model}-{scenario}"
            parts.append(
                render(identifier, _limit_lines(lines), columns, on_machine(report, found, "configuration"), notes)
            )
    return Fragment("".join(parts))


def _never_exceeded(frame: "pd.DataFrame") -> str:
    never = frame[frame["never_exceeded"] > 0]
    if never.empty:
        return ""
    which = "; ".join(
        f"{configuration_label(line)} in {line['never_exceeded']:.0f}" for line in never.to_dict("records")
    )
    return f"Rounds in which no rate broke the limit, so that the true one may be higher: {which}."


def _limit_lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for line in frame.to_dict("records"):
        name = f"{line['target']} · {configuration_label(line)}"
        if line["outcome"] != "measured":
            lines.append({STUB: f"{name}: {why_not(line)}", MUTED: True})
            continue
        lines.append(
            {
                STUB: name,
                "rate": with_interval(line["rate_per_s"], line["rate_low_per_s"], line["rate_high_per_s"]),
                "share": number(line["share"], 100.0),
                "gain": with_interval(line["gain"], line["gain_low"], line["gain_high"]),
                "searches": f"{line['searches']:.0f}",
            }
        )
    return lines


def tenfold_tables(report: Report) -> Fragment:
    """What ten times the load did to latency, beside the published claim."""
    parts = []
    columns = [
        Column("loads", "loads", left=True),
        *(
            column
            for name in PERCENTILES
            for column in (
                Column(name, f"ratio [{report.interval}]", name),
                Column(f"{name}-verdict", "against 1.05", name, left=True),
            )
        ),
    ]
    for found in report.sets:
        frame = report.of_set("tenfold", found)
        if frame.empty:
            continue
        parts.append(machine_heading(report, found) or heading(2, "Ten times the load"))
        for (study, model), lines in frame.groupby(["study", "model"], sort=False):
            notes = [
                "Latency under the higher load over that under the lower one. Published, for another service and "
                'without saying of what: "less than 5% performance degradation under 10x load increases" (Leveraging '
                "AWS for Scalable AI Development and Deployment), so at most 1.05.",
                "p50: paired by round. p95 and p99: of all measured requests. Above it, within it: the interval lies "
                f"there as a whole, where intervals are widened so that any verdict of the table is false with a "
                f"probability of at most {number(1 - report.confidence, digits=1)} (Bonferroni); else open.",
                rounds_note(lines),
                engagement_note(lines),
            ]
            parts.append(heading(3, on_machine(report, found, str(model))))
            identifier = f"tenfold-{found['id']}-{study}-{model}"
            parts.append(
                render(identifier, _tenfold_lines(lines), columns, on_machine(report, found, "configuration"), notes)
            )
    return Fragment("".join(parts))


def _columns(report: Report) -> list[Column]:
    return [
        Column("offered", "offered, requests/s", "load"),
        Column("load", "% of capacity", "load"),
        Column("rate", f"requests/s [{report.interval}]", "served"),
        Column("items", "items/s", "served"),
        Column("batch", "mean batch", "served"),
        *(Column(name, f"{name} ms [{report.interval}]", "latency", two_lines=True) for name in PERCENTILES),
        Column("state", "", left=True, absent=""),
    ]


def _lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for _, group in frame.groupby("configuration", sort=False):
        first = group.to_dict("records")[0]
        name = f"{first['target']} · {configuration_label(first)}"
        if not group["outcome"].isin(["measured", "invalid"]).any():
            lines.append({GROUP: name, STUB: why_not(first), MUTED: True})
            continue
        for line in group.to_dict("records"):
            label = scenario_label(line["scenario"])
            if line["outcome"] == "measured":
                lines.append({GROUP: name, STUB: label, **_cells(line)})
            else:
                lines.append({GROUP: name, STUB: f"{label}: {why_not(line)}", MUTED: True})
    return lines


def _cells(line: dict[Any, Any]) -> dict[str, str]:
    bounds = (line["throughput_low_per_s"], line["throughput_high_per_s"])
    return {
        "offered": number(line["offered_rate_per_s"]),
        "load": number(line["load"], 100.0),
        "rate": with_interval(line["throughput_mean_per_s"], *bounds),
        "items": number(line["items_per_s"]),
        "batch": number(line["batch_size_mean"], digits=2),
        "state": line["state"],
        **{name: _latency(line, f"latency_{name}") for name in PERCENTILES},
    }


def _latency(line: dict[Any, Any], name: str) -> str:
    return with_interval(line[f"{name}_s"], line[f"{name}_low_s"], line[f"{name}_high_s"], MS)


def _knees(frame: "pd.DataFrame", identifier: str, report: Report, stub: str) -> str:
    columns = [
        Column("capacity", "capacity, requests/s"),
        Column("rate", f"requests/s [{report.interval}]", "knee"),
        Column("share", f"% of capacity [{report.interval}]", "knee"),
        Column("latency", "mean latency there, ms", "knee"),
    ]
    lines = [
        {
            STUB: f"{line['target']} · {configuration_label(line)}",
            "capacity": number(line["capacity_per_s"]),
            "rate": with_interval(line["knee_per_s"], line["knee_low_per_s"], line["knee_high_per_s"]),
            "share": percent_interval(line["knee_share"], line["knee_share_low"], line["knee_share_high"], 0),
            "latency": number(line["knee_latency_s"], MS),
        }
        for line in frame.to_dict("records")
    ]
    notes = [
        "Knee: the rate of greatest power, rate over mean latency (Kleinrock 1979), between the measured levels; its "
        "interval is the jackknife's over rounds. A queue with exponential service has it at 50 %, one with constant "
        "service at 59 %. – where the levels do not enclose one.",
        engagement_note(frame),
    ]
    return render(identifier, lines, columns, stub, notes)


def _tenfold_lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return [
        {
            STUB: f"{line['target']} · {configuration_label(line)}",
            "loads": f"{scenario_label(line['from_scenario'])} → {scenario_label(line['scenario'])} "
            f"(× {line['load_ratio']:g})",
            **{
                name: with_interval(*(line[f"{name}_ratio{part}"] for part in ("", "_low", "_high")))
                for name in PERCENTILES
            },
            **{f"{name}-verdict": _verdict(line, name) for name in PERCENTILES},
        }
        for line in frame.to_dict("records")
    ]


def _verdict(line: dict[Any, Any], name: str) -> str:
    return MISSING if missing(line[f"{name}_ratio"]) else VERDICTS[line[f"{name}_ratio_verdict"]]
