"""The front page: what was measured, what is best, how sure that is, and what is missing."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.report.page import machine_heading, on_machine, pages_of
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, STUB, Column, bullet_list, engagement_note, render
from inferlab.report.text import (
    MISSING,
    NOT_ENGAGED,
    Fragment,
    configuration_label,
    factor,
    heading,
    missing,
    paragraph,
    percent_interval,
    scenario_label,
    why_not,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd


NOOP = "noop"
"""The model that does nothing: how fast it is answers no question that a reader of the front page has."""


def best_tables(report: Report) -> Fragment:
    """For each machine and model: the fastest configurations (without a cache), their accuracy and their gain."""
    parts = []
    columns = [
        Column("configuration", "configuration", left=True),
        Column("value", f"value [{report.interval}]"),
        Column("gain", "throughput × cpu-eager original"),
        Column("gain-here", "throughput × original, same target"),
        Column("quality", f"accuracy % [{report.interval}]"),
        Column("difference", "difference to original, points"),
    ]
    for found in report.sets:
        frame = report.of_set("optimization", found)
        frame = frame[(frame["outcome"] == "measured") & (frame["loop"] == "closed")]
        parts.append(machine_heading(report, found) or heading(2, "What is fastest here"))
        lines = [line for model, of_model in frame.groupby("model", sort=False) for line in _best(str(model), of_model)]
        notes = [
            "Fastest of what was measured, over all studies but those of caches, load, handlers and starts; whether a "
            "neighbour really differs: see Comparisons.",
            _engagement(frame, [line["configuration"] for line in lines]),
        ]
        parts.append(render(f"best-{found['id']}", lines, columns, on_machine(report, found, "question"), notes))
        parts.append(_certainty(report.of_set("noise", found), report))
    return Fragment("".join(parts))


def answers(report: Report) -> Fragment:
    """One sentence a model: the configuration that answers most requests over HTTP, its gain and its accuracy.

    The gain is given against both references: what the user has, and the original on the same target.
    """
    parts = []
    for found in report.sets:
        frame = report.of_set("optimization", found)
        frame = frame[(frame["outcome"] == "measured") & (frame["loop"] == "closed") & (frame["path"] != "direct")]
        frame = frame[frame["model"] != NOOP]
        items = [_answer(str(model), of_model) for model, of_model in frame.groupby("model", sort=False)]
        parts += [machine_heading(report, found), bullet_list(items)]
        note = _engagement(frame, items)
        parts += [paragraph(note, "note")] if note else []
    return Fragment("".join(parts))


def absent_list(report: Report) -> Fragment:
    """What was not measured on each machine, why, and how to get it."""
    parts = [heading(2, "What is not measured")]
    for found in report.sets:
        frame = report.of_set("latency", found)
        absent = frame[frame["outcome"] != "measured"]
        groups: dict[tuple[str, str], set[str]] = {}
        for line in absent.to_dict("records"):
            groups.setdefault((line["target"], why_not(line)), set()).add(line["configuration"])
        items = [
            f"{target}, {len(names)} configuration{'s' if len(names) > 1 else ''}: {reason}"
            for (target, reason), names in groups.items()
        ]
        parts.append(machine_heading(report, found))
        parts.append(bullet_list(items) if items else paragraph("Everything that was asked for was measured."))
    return Fragment("".join(parts))


def page_links(root: str) -> Fragment:
    """Links to the pages whose notebooks say what they answer."""
    items = "".join(
        f'<li><a href="{escape(page.name)}.html">{escape(page.title)}</a>: {escape(page.answers)}</li>'
        for page in pages_of(Path(root) / "notebooks")
        if page.answers
    )
    return Fragment(f"{heading(2, 'Pages')}<ul>{items}</ul>")


def _engagement(frame: "pd.DataFrame", texts: list[str]) -> str:
    """Why what is marked in the texts did not engage; blank where nothing is."""
    return engagement_note(frame) if any(NOT_ENGAGED in text for text in texts) else ""


def _answer(model: str, frame: "pd.DataFrame") -> str:
    scenario = list(dict.fromkeys(frame["scenario"]))[-1]
    rows = frame[frame["scenario"] == scenario]
    best = rows.sort_values("throughput_mean_per_s").to_dict("records")[-1]
    cells = _best_cells(best, lowest=False)
    gains = {"cpu-eager": cells["gain"], best["target"]: cells["gain-here"]}
    gain = " and ".join(
        f"{times} times the original on {target}" for target, times in gains.items() if times != MISSING
    )
    gain = f", {gain}" if gain else ""
    accuracy = f" Accuracy {cells['quality']} %." if cells["quality"] != MISSING else ""
    if cells["difference"] != MISSING:
        accuracy = f"{accuracy[:-1]}, {cells['difference']} points against the original."
    return (
        f"{model}: {cells['configuration']} answers most over HTTP under {scenario_label(scenario)}, "
        f"{cells['value']} requests/s{gain}.{accuracy}"
    )


def _best(model: str, frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """One line for each question that a model's rows can answer."""
    scenarios = list(dict.fromkeys(frame["scenario"]))
    asked: list[tuple[str, str, bool]] = [
        ("latency_p50", scenarios[0], True),
        ("throughput_mean", scenarios[-1], False),
    ]
    lines = []
    for metric, scenario, lowest in asked:
        unit = "p50 latency, ms" if lowest else "requests/s"
        column = f"{metric}_s" if lowest else f"{metric}_per_s"
        for where, rows in (("", frame), (" over HTTP", frame[frame["path"] != "direct"])):
            rows = rows[rows["scenario"] == scenario].dropna(subset=[column])
            if rows.empty:
                continue
            best = rows.sort_values(column, ascending=lowest).to_dict("records")[0]
            question = f"{'lowest' if lowest else 'highest'} {unit}{where}, {scenario_label(scenario)}"
            lines.append({GROUP: model, STUB: question, **_best_cells(best, lowest)})
    return lines


def _best_cells(best: dict[Any, Any], lowest: bool) -> dict[str, str]:
    stem, unit, scale = ("latency_p50", "_s", 1000.0) if lowest else ("throughput", "_per_s", 1.0)
    value = best["latency_p50_s"] if lowest else best["throughput_mean_per_s"]
    gains = {  # a reference is not faster than itself: that ratio has no interval
        name: MISSING
        if missing(best[f"{column}_low"])
        else with_interval(*(best[f"{column}{part}"] for part in ("", "_low", "_high")))
        for name, column in (("gain", "speedup_vs_users"), ("gain-here", "speedup_vs_same_target"))
    }
    difference = (best["quality_difference"], best["quality_difference_low"], best["quality_difference_high"])
    return {
        "configuration": f"{best['target']} · {configuration_label(best)}",
        "value": with_interval(value, best[f"{stem}_low{unit}"], best[f"{stem}_high{unit}"], scale),
        **gains,
        "quality": percent_interval(best["quality"], best["quality_low"], best["quality_high"]),
        "difference": percent_interval(*difference, 2, True),
    }


def _certainty(noise: "pd.DataFrame", report: Report) -> str:
    import numpy as np

    if noise.empty:
        return paragraph("The A/A twin was not measured: no difference on these pages may be called one.")
    worst = float(np.log(noise["ratio_median"]).abs().max())
    floor = float(noise["noise_floor"].max())
    rounds = int(noise["rounds"].min())
    low = f" {report.label}." if report.label else ""
    differing = int((noise["twin_warning"] != "").sum())
    warning = (
        f" ▲ In {differing} of {len(noise)} cases (study, model, scenario, metric) the two differ by more than 3 % in "
        "the median or by more than their rounds scatter; see Comparisons."
    )
    return paragraph(
        f"How sure: the reference measured twice under two names differs by at most {factor(worst)} in the median of "
        f"round ratios, over all studies, models and scenarios, from at least {rounds} rounds; the widest noise floor "
        f"is {factor(floor)}, and no difference below a floor is called one.{warning if differing else ''}{low}"
    )
