"""The front page: what was measured, what is best, how sure that is, and what is missing."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.report.page import machine_heading, pages_of
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, STUB, Column, bullet_list, render
from inferlab.report.text import (
    MISSING,
    Fragment,
    configuration_label,
    heading,
    paragraph,
    percent,
    percent_interval,
    scenario_label,
    why_not,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd


def best_tables(report: Report) -> Fragment:
    """For each machine and model: the fastest configurations of the study serving, their accuracy and their gain."""
    parts = []
    columns = [
        Column("configuration", "configuration", left=True),
        Column("value", f"value [{report.interval}]"),
        Column("gain", "throughput × cpu-eager original"),
        Column("quality", f"accuracy % [{report.interval}]"),
        Column("difference", "difference to original, points"),
    ]
    for found in report.sets:
        frame = report.of_set("optimization", found)
        frame = frame[(frame["outcome"] == "measured") & (frame["loop"] == "closed")]
        parts.append(machine_heading(report, found) or heading(2, "What is fastest here"))
        lines = [line for model, of_model in frame.groupby("model", sort=False) for line in _best(str(model), of_model)]
        notes = ["Fastest of what was measured, over all studies; whether a neighbour really differs: see Comparisons."]
        parts.append(render(f"best-{found['machine_id']}", lines, columns, "question", notes))
        parts.append(_certainty(report.of_set("noise", found), report))
    return Fragment("".join(parts))


def answers(report: Report) -> Fragment:
    """One sentence a model: the configuration that answers most requests over HTTP, its gain and its accuracy."""
    parts = []
    for found in report.sets:
        frame = report.of_set("optimization", found)
        frame = frame[(frame["outcome"] == "measured") & (frame["loop"] == "closed") & (frame["path"] != "direct")]
        items = [_answer(str(model), of_model) for model, of_model in frame.groupby("model", sort=False)]
        parts += [machine_heading(report, found), bullet_list(items)]
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


def _answer(model: str, frame: "pd.DataFrame") -> str:
    scenario = list(dict.fromkeys(frame["scenario"]))[-1]
    rows = frame[frame["scenario"] == scenario]
    cells = _best_cells(rows.sort_values("throughput_mean_per_s").to_dict("records")[-1], lowest=False)
    gain = f", {cells['gain']} times the original on cpu-eager" if cells["gain"] != MISSING else ""
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
    gain = [best[f"speedup_vs_users{part}"] for part in ("", "_low", "_high")]
    difference = (best["quality_difference"], best["quality_difference_low"], best["quality_difference_high"])
    return {
        "configuration": f"{best['target']} · {configuration_label(best)}",
        "value": with_interval(value, best[f"{stem}_low{unit}"], best[f"{stem}_high{unit}"], scale),
        "gain": with_interval(*gain),
        "quality": percent_interval(best["quality"], best["quality_low"], best["quality_high"]),
        "difference": percent_interval(*difference, 2, True),
    }


def _certainty(noise: "pd.DataFrame", report: Report) -> str:
    if noise.empty:
        return paragraph("The A/A twin was not measured: no difference on these pages may be called one.")
    worst = float((noise["ratio_median"] - 1).abs().max())
    floor = float(noise["noise_floor"].max())
    rounds = int(noise["rounds"].min())
    low = f" {report.label}." if report.label else ""
    return paragraph(
        f"How sure: the reference measured twice under two names differs by at most {percent(worst)} in the median of "
        f"round ratios, over all studies, models and scenarios, from at least {rounds} rounds; the widest noise floor "
        f"is ±{percent(floor)}, and no difference below it is called one.{low}"
    )
