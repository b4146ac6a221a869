"""How many rounds were measured, and why no more, where a stop rule decided that."""

from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import STUB, Column, render
from inferlab.report.text import MISSING, Fragment, factor, heading, missing, scenario_label

ENDED_BY = {"precision": "the precision was reached", "max_rounds": "▲ the most rounds were done"}


def stopping_tables(report: Report) -> Fragment:
    """A line for each study and model whose rounds a rule ended; nothing where none did."""
    parts = []
    columns = [
        Column("rounds", "rounds"),
        Column("limits", "least to most"),
        Column("asked", "precision asked for"),
        Column("reached", "precision reached"),
        Column("ended", "ended because", left=True),
        Column("widest", "least precise", left=True),
    ]
    for found in report.sets:
        frame = report.of_set("stopping", found)
        if frame.empty:
            continue
        lines = [
            {
                STUB: f"{line['study']}: {line['model']}",
                "rounds": f"{line['rounds']:.0f}",
                "limits": f"{line['least_rounds']:.0f} to {line['max_rounds']:.0f}",
                "asked": factor(line["precision"]),
                "reached": MISSING if missing(line["reached"]) else factor(line["reached"]),
                "ended": ENDED_BY[line["ended_by"]],
                "widest": f"{line['widest']}, {scenario_label(line['widest_scenario'])}",
            }
            for line in frame.to_dict("records")
        ]
        notes = [
            "Rounds went on until half the 95 % interval over rounds of p50 latency was at most this factor for every "
            "configuration and scenario, rounds taken as independent. A rule that looks after every round ends where "
            "chance has made intervals narrow, so that they hold the truth less often than they say; how often is on "
            "the page of methodology.",
        ]
        parts += [machine_heading(report, found) or heading(2, "How many rounds")]
        parts.append(render(f"stopping-{found['id']}", lines, columns, on_machine(report, found, "study"), notes))
    return Fragment("".join(parts))
