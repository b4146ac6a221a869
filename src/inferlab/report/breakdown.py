"""The page of Table 5: where the time of a request goes, and what each ingredient of an ordinary handler costs."""

from typing import TYPE_CHECKING, Any

from inferlab.report.breakdown_figures import stacked_bars
from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import (
    MUTED,
    STUB,
    Column,
    engagement_note,
    lines_by_target,
    noise_note,
    render,
    rounds_note,
)
from inferlab.report.text import (
    MISSING,
    Fragment,
    factor,
    heading,
    missing,
    not_selected,
    paragraph,
    percent,
    percent_interval,
    scenario_label,
    why_not,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

MS = 1e3
US = 1e6
STAGES = {
    "client": "client",
    "transport": "transport",
    "parse": "parse",
    "queue": "queue",
    "batch": "batch assembly",
    "infer": "inference",
    "serialize": "serialization",
}
"""Columns of tables/breakdown.csv and what they are called."""
MEANS = (
    "Means over requests, then over rounds, with {}s; a dash where there is no such stage. Client: from the moment at "
    "which a request was due until it was sent. Transport: what is left, so sockets, HTTP on both sides, routing, and, "
    "under several callers, waiting for the server's event loop, which is at work for others. Between them is the "
    "server's own account (its Server-Timing header): parse, from body to tensors; queue, waiting for the session; "
    "batch assembly, putting requests together and handing them to the session and back; inference; serialization, "
    "from tensors to body. A batch gives its times to each of its requests."
)
PATHS = (
    "direct: no transport and no bodies; client is all that is not the batcher's, in the same event loop. "
    "fastapi-plain: parse and serialization contain the way to a thread of the pool and back; nothing is batched; on "
    "cpu-eager, whose session several threads may use, requests are inferred side by side on the same cores, and each "
    "counts all of that time."
)
VERDICTS = {"costs": "▲ costs", "saves": "▼ saves", "tie": "= tie", "": "no verdict"}
INGREDIENTS = (
    "What an ingredient costs: mean latency with it less that without it, paired by round, and in percent of the "
    "ordinary handler's latency. Validation, encoder (FastAPI's, of answers), thread pool: that handler beside one "
    "that reads its body with orjson and checks nothing, one that answers bytes which orjson wrote, and one that is an "
    "async function. JSON: beside one that takes and gives binary tensors, which needs neither validation nor encoder. "
    "Response model and middleware (BaseHTTPMiddleware): beside one that has it, since the handler has none; a "
    "response model also takes the encoder's place. Costs do not add up: some contain each other."
)
JUDGED = (
    "Under several callers a request waits for those of the others, so that what each of them costs the server counts "
    "for all. Costs, saves: Holm's p over all lines of the study (all models and scenarios) is below {:.2g} and the "
    "ratio lies beyond the noise floor of the handler's A/A twin; beside a tie, how many more rounds would show the "
    "difference that was seen, and nothing where the twin's own difference is as large."
)


def breakdown_tables(report: Report) -> Fragment:
    """Table 5 of every machine: a table a model and scenario, a line a configuration, a column a stage."""
    parts = []
    columns = [Column(name, label, "of one request, ms and % of latency") for name, label in STAGES.items()]
    columns += [Column("server", "server's account", "sums, ms and %"), Column("latency", "latency", "sums, ms and %")]
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame = report.of_set("breakdown", found)
        if frame.empty:
            parts.append(not_selected("breakdown"))
        else:
            parts.append(paragraph(MEANS.format(report.interval), "note") + paragraph(PATHS, "note"))
        for (study, model, scenario), lines in frame.groupby(["study", "model", "scenario"], sort=False):
            notes = [f"{rounds_note(lines)} {noise_note(report.of_set('noise', found), str(study), str(model))}"]
            notes.append(engagement_note(lines))
            parts.append(heading(3, on_machine(report, found, f"{model}, {scenario_label(str(scenario))}")))
            identifier = f"breakdown-{found['id']}-{study}-{model}-{scenario}"
            parts.append(
                render(
                    identifier,
                    lines_by_target(lines, _cells),
                    columns,
                    on_machine(report, found, "target and configuration"),
                    notes,
                )
            )
    return Fragment("".join(parts))


def breakdown_figures(report: Report) -> Fragment:
    """A stacked bar for each measured configuration, a panel a scenario, for each machine and model."""
    parts = []
    for found in report.sets:
        frame = report.of_set("breakdown", found)
        frame = frame[frame["outcome"] == "measured"]
        if len(frame):
            parts.append(machine_heading(report, found))
        for (_, model), lines in frame.groupby(["study", "model"], sort=False):
            parts.append(stacked_bars(lines, on_machine(report, found, str(model)), STAGES))
    return Fragment("".join(parts))


def ablation_tables(report: Report) -> Fragment:
    """What each ingredient of the ordinary handler costs, for every machine and model."""
    parts = []
    for found in report.sets:
        frame = report.of_set("ablation", found)
        if frame.empty:
            continue
        parts.append(machine_heading(report, found) or heading(2, "What the ingredients of an ordinary handler cost"))
        parts.append(paragraph(INGREDIENTS, "note") + paragraph(JUDGED.format(1 - report.confidence), "note"))
        for (study, model), lines in frame.groupby(["study", "model"], sort=False):
            notes = [f"{rounds_note(lines)} {_floor_note(lines)}"]
            notes.append(engagement_note(lines))
            parts.append(heading(3, on_machine(report, found, f"{model} on {', '.join(lines['target'].unique())}")))
            identifier = f"ablation-{found['id']}-{study}-{model}"
            cells, columns = _ablation_lines(lines), _ablation_columns(lines, report)
            parts.append(render(identifier, cells, columns, on_machine(report, found, "ingredient"), notes))
    return Fragment("".join(parts))


def _floor_note(lines: "pd.DataFrame") -> str:
    """The noise floor that these verdicts were held against: of mean latency, where other pages have that of p50."""
    floors = lines.dropna(subset="noise_floor").groupby("scenario", sort=False)["noise_floor"].first()
    if floors.empty:
        return "Noise floor: the handler's A/A twin was not measured, so no difference in this table may be called one."
    parts = [f"{scenario_label(str(name))} {factor(floor)}" for name, floor in floors.items()]
    return f"Noise floor of mean latency, from the handler's A/A twin: {', '.join(parts)}."


def _cells(group: "pd.DataFrame") -> dict[str, str]:
    """Texts of the columns; none for a stage that is in no request of the path."""
    line = group.to_dict("records")[0]
    there = [name for name in (*STAGES, "server", "latency") if line[f"{name}_s"] != 0]
    cells = {name: _time(line, name) for name in there}
    for name in there:
        if name != "latency" and not missing(line[f"{name}_s"]):
            cells[name] += f"\n{percent(line[f'{name}_share'])}"
    return cells


def _time(line: dict[Any, Any], name: str) -> str:
    value = with_interval(line[f"{name}_s"], line[f"{name}_low_s"], line[f"{name}_high_s"], MS)
    return value.replace(" [", "\n[")


def _ablation_columns(frame: "pd.DataFrame", report: Report) -> list[Column]:
    return [
        column
        for scenario in dict.fromkeys(frame["scenario"])
        for column in (
            Column(f"{scenario}-cost", f"µs [{report.interval}]", scenario_label(scenario), two_lines=True),
            Column(f"{scenario}-share", f"% of latency [{report.interval}]", scenario_label(scenario), two_lines=True),
            Column(f"{scenario}-verdict", "verdict", scenario_label(scenario), left=True),
        )
    ]


def _ablation_lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for ingredient, group in frame.groupby("ingredient", sort=False):
        line: dict[str, Any] = {STUB: str(ingredient)}
        for found in group.to_dict("records"):
            if found["outcome"] != "measured":
                line[STUB] += f"; {scenario_label(found['scenario'])} {why_not(found)}"
                continue
            scenario = found["scenario"]
            bounds = (found["cost_low_s"], found["cost_high_s"])
            line[f"{scenario}-cost"] = with_interval(found["cost_s"], *bounds, US).replace("-", "−")
            bounds = (found["cost_share_low"], found["cost_share_high"])
            line[f"{scenario}-share"] = percent_interval(found["cost_share"], *bounds, signed=True)
            line[f"{scenario}-verdict"] = _verdict(found)
        if (group["outcome"] != "measured").all():
            line = {STUB: f"{ingredient}: {why_not(group.to_dict('records')[0])}", MUTED: True}
        lines.append(line)
    return lines


def _verdict(line: dict[Any, Any]) -> str:
    if missing(line["cost_s"]):
        return MISSING
    more = line["more_rounds_needed"]
    return VERDICTS[line["verdict"]] + ("" if missing(more) else f" ({more:,.0f} more rounds)")
