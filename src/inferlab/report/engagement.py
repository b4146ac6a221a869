"""Whether optimizations took effect: one line an artifact, from its manifest and from its server's processor time."""

from typing import TYPE_CHECKING, Any

from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, MUTED, STUB, Column, engagement_note, render
from inferlab.report.text import (
    MISSING,
    Fragment,
    engagement_mark,
    heading,
    missing,
    number,
    percent,
    why_not,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

SHARES = (
    "Of the compiled artifact's compute operators (those that multiply and accumulate): how many run in low precision, "
    "and their share of the MACs; – where the engine does not tell. Zeroed weights: how many of all weights are zero, "
    "and how many of these a kernel skips. On the accelerator: of the operators, for targets that have one."
)
CORES = (
    "Cores used: CPU-seconds of the server's processes over wall time, in the closed loop with most callers, of the "
    "configuration with the highest throughput (over HTTP where there is one), with its interval over rounds; granted: "
    "what the machine's plan gives the server, HTTP included."
)


def engagement_tables(report: Report) -> Fragment:
    """For each machine and model, what every artifact took up of its optimization."""
    parts = [heading(2, "Engagement")]
    for found in report.sets:
        frame = report.of_set("engagement", found)
        parts.append(machine_heading(report, found))
        for model, lines in frame.groupby("model", sort=False):
            parts.append(heading(3, on_machine(report, found, str(model))))
            stub = on_machine(report, found, "target and optimization")
            notes = [SHARES, CORES, engagement_note(lines)]
            parts.append(render(f"engagement-{found['id']}-{model}", _lines(lines), _columns(report), stub, notes))
    return Fragment("".join(parts))


def _columns(report: Report) -> list[Column]:
    return [
        Column("engaged", "engaged?"),
        Column("operators", "of operators", "low precision"),
        Column("macs", "of MACs", "low precision"),
        Column("zeroes", "of all weights", "zeroed weights"),
        Column("skipped", "of these skipped", "zeroed weights"),
        Column("removed", "MACs removed"),
        Column("device", "on the accelerator"),
        Column("used", f"used [{report.interval}]", "cores", two_lines=True),
        Column("granted", "granted", "cores"),
        Column("share", "used of granted", "cores"),
        Column("note", "remark in the manifest", left=True, absent=""),
    ]


def _lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for target, of_target in frame.groupby("target", sort=False):
        absent: dict[str, list[str]] = {}
        for line in of_target.to_dict("records"):
            if line["outcome"] != "measured":
                absent.setdefault(why_not(line), []).append(line["optimization"])
            else:
                lines.append({GROUP: str(target), **_cells(line)})
        lines += [
            {GROUP: str(target), STUB: f"{', '.join(names)}: {reason}", MUTED: True} for reason, names in absent.items()
        ]
    return lines


def _cells(line: dict[Any, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {
        STUB: f"{line['optimization']}{engagement_mark(line)}",
        "engaged": _engaged(line),
        "zeroes": percent(line["zeroed_weight_share"]),
        "skipped": percent(line["zeroed_weight_used_share"], 0),
        "removed": percent(line["macs_removed_share"]),
        "device": percent(line["operators_on_accelerator_share"], 0),
        "operators": percent(line["low_precision_operator_share"], 0),
        "macs": percent(line["low_precision_mac_share"], 0),
        "used": with_interval(line["cores_used"], line["cores_used_low"], line["cores_used_high"]),
        "granted": number(line["cores_granted"]),
        "share": percent(line["cores_used_share"], 0),
    }
    return cells if missing(line["note"]) else {**cells, "note": line["note"]}


def _engaged(line: dict[Any, Any]) -> str:
    """Blank of a model to which nothing was done."""
    if line["not_engaged"]:
        return "▼ no"
    return MISSING if line["optimization"] == "original" else "yes"
