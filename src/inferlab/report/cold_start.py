"""The page of cold starts: how long a server takes from nothing to its first answer."""

from typing import TYPE_CHECKING, Any

from inferlab.report.figures import figure_html, theme
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
    configuration_label,
    heading,
    not_selected,
    paragraph,
    scenario_label,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0
STARTS = (
    "Each server was started alone, on the cores that it serves on, once a round, in random order. Files came from the "
    "page cache: the process was cold, and not the disk. Ready: the session is loaded and, over HTTP, the server "
    "listens. First answer: to a request that was sent as soon as the server was ready, over a connection of its own."
)
PARTS_OF_IT = (
    "Session: loading the artifact, with the imports and checks that this takes. Inferences: the session's first run, "
    "and the next one of as many items. On the path fastapi the first is the server's own, of zeroes and before it is "
    "ready; elsewhere it is that of the first request. CPU-s: seconds of CPU time of the server, from its start to its "
    "second answer."
)
RATIOS = (
    "× cpu-eager: ratio of the time to the first answer to that of the original on cpu-eager behind the same path and "
    "batching, paired by round. Which differences are real is on the page of comparisons, where the p50 latency of a "
    "start is its time to the first answer."
)
PARTS = {"ready": "ready", "first_request": "first request"}
"""What the time to the first answer consists of, in their order."""


def cold_start_tables(report: Report) -> Fragment:
    """For each machine and model: when each configuration was ready and gave its first answer, and why so late."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame, noise = report.of_set("cold_start", found), report.of_set("noise", found)
        if frame.empty:
            parts.append(not_selected("cold-start"))
        else:
            parts.append("".join(paragraph(text, "note") for text in (STARTS, PARTS_OF_IT, RATIOS)))
        for (study, model, scenario), lines in frame.groupby(["study", "model", "scenario"], sort=False):
            notes = [f"Geometric means. {rounds_note(lines)} {noise_note(noise, str(study), str(model))}"]
            notes.append(engagement_note(lines))
            parts.append(heading(3, on_machine(report, found, f"{model}: {scenario_label(str(scenario))}")))
            identifier = f"cold-start-{found['id']}-{study}-{model}-{scenario}"
            cells = lines_by_target(lines, _cells)
            parts.append(
                render(
                    identifier, cells, _columns(report), on_machine(report, found, "target and configuration"), notes
                )
            )
    return Fragment("".join(parts))


def cold_start_figures(report: Report) -> Fragment:
    """A bar a configuration: the time until it was ready, and its first request."""
    theme()
    parts = []
    for found in report.sets:
        frame = report.of_set("cold_start", found)
        frame = frame[frame["outcome"] == "measured"]
        if len(frame):
            parts.append(machine_heading(report, found))
        for model, lines in frame.groupby("model", sort=False):
            parts.append(_bars(lines, on_machine(report, found, f"Cold start of {model}"), report))
    return Fragment("".join(parts))


def _columns(report: Report) -> list[Column]:
    return [
        Column("answer", f"first answer, s [{report.interval}]", "since the process started", two_lines=True),
        Column("ready", f"ready, s [{report.interval}]", "since the process started", two_lines=True),
        Column("session", f"session, s [{report.interval}]", "loading", two_lines=True),
        Column("first", f"first, ms [{report.interval}]", "inference", two_lines=True),
        Column("second", f"second, ms [{report.interval}]", "inference", two_lines=True),
        Column("request", f"first, ms [{report.interval}]", "request", two_lines=True),
        Column("next", f"second, ms [{report.interval}]", "request", two_lines=True),
        Column("cpu", f"CPU-s [{report.interval}]", "cost", two_lines=True),
        Column("times", f"× cpu-eager [{report.interval}]", "", two_lines=True),
    ]


def _cells(group: "pd.DataFrame") -> dict[str, Any]:
    line = group.to_dict("records")[0]

    def interval(name: str, scale: float = 1.0) -> str:
        return with_interval(line[f"{name}_s"], line[f"{name}_low_s"], line[f"{name}_high_s"], scale)

    return {
        "answer": interval("first_answer"),
        "ready": interval("ready"),
        "session": interval("session_load"),
        "first": interval("first_inference", MS),
        "second": interval("second_inference", MS),
        "request": interval("first_request", MS),
        "next": interval("second_request", MS),
        "cpu": interval("cpu"),
        "times": with_interval(line["times_base"], line["times_base_low"], line["times_base_high"]),
    }


def _bars(frame: "pd.DataFrame", title: str, report: Report) -> str:
    import matplotlib.pyplot as plt
    import seaborn as sns

    labels = [f"{line['target']} · {configuration_label(line)}" for line in frame.to_dict("records")]
    figure, axis = plt.subplots(figsize=(8.5, 0.9 + 0.32 * len(frame)), layout="constrained")
    left = 0.0 * frame["ready_s"]
    for (name, label), colour in zip(PARTS.items(), sns.color_palette("colorblind", len(PARTS)), strict=True):
        axis.barh(range(len(frame)), frame[f"{name}_s"], left=left, color=colour, label=label)
        left = left + frame[f"{name}_s"]
    answer = frame["first_answer_s"]
    bounds = [answer - frame["first_answer_low_s"], frame["first_answer_high_s"] - answer]
    axis.errorbar(answer, range(len(frame)), xerr=bounds, fmt="none", color="black", elinewidth=1.1, capsize=2.5)
    axis.set_yticks(range(len(frame)), labels)
    axis.invert_yaxis()
    axis.set(xlabel="seconds since the process started")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(PARTS), frameon=False)
    return figure_html(
        figure, f"{title}: geometric means, with the {report.interval} of the first answer.{engagement_caption(frame)}"
    )
