"""The page of tuning: what was searched, what the trials found, and what that is worth against the defaults."""

from typing import TYPE_CHECKING, Any

from inferlab.report.page import machine_heading, on_machine
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, MUTED, STUB, Column, engagement_note, render, rounds_note
from inferlab.report.text import (
    MISSING,
    Fragment,
    configuration_label,
    engagement_mark,
    factor,
    heading,
    missing,
    not_selected,
    number,
    paragraph,
    why_not,
    with_interval,
)
from inferlab.report.tuning_figures import trials_figure
from inferlab.report.verdicts import VERDICT_TEXT

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0
SETTINGS = {"batch_limit": "batch limit", "threads": "threads", "replicas": "replicas"}


def tuning_tables(report: Report) -> Fragment:
    """For each machine and model: what was searched, the default beside the tuned endpoint, and every trial."""
    parts = []
    for found in report.sets:
        parts.append(machine_heading(report, found))
        frame, trials = report.of_set("tuning", found), report.of_set("trials", found)
        if frame.empty:
            parts.append(not_selected("tuning"))
        for (study, model), lines in frame.groupby(["study", "model"], sort=False):
            own = trials[(trials["study"] == study) & (trials["model"] == model)]
            identifier = f"{found['id']}-{study}-{model}"
            parts.append(
                heading(3, on_machine(report, found, str(model) if study == "tuning" else f"{model}: {study}"))
            )
            parts += [paragraph(text) for text in (*_searched(lines), *_found(lines, own))]
            stubs = [on_machine(report, found, text) for text in ("configuration", "trial")]
            parts.append(_compared(lines, own, f"tuning-{identifier}", report, stubs[0]))
            if len(own):
                parts += [heading(4, "Trials"), _trials(own, lines, f"trials-{identifier}", stubs[1])]
    return Fragment("".join(parts))


def tuning_figures(report: Report) -> Fragment:
    """What each trial found and the best so far, a panel a search, for each machine and model."""
    parts = []
    for found in report.sets:
        trials = report.of_set("trials", found)
        if trials["rate_per_s"].notna().any():
            parts.append(machine_heading(report, found))
        for (_, model), own in trials.groupby(["study", "model"], sort=False):
            if own["rate_per_s"].notna().any():
                parts.append(trials_figure(own, on_machine(report, found, str(model))))
    return Fragment("".join(parts))


def _searched(lines: "pd.DataFrame") -> list[str]:
    """What the study asked for and what the machine permitted, where anything was tried."""
    tried = lines[lines["trials"] > 0]
    if tried.empty:
        return []
    line = tried.iloc[0]
    asked = ", ".join(f"{label} {line[f'asked_{name}']}" for name, label in SETTINGS.items())
    cores, candidates = int(line["cores_granted"]), int(line["candidates"])
    room = f"This machine grants the server {cores} {'core' if cores == 1 else 'cores'}"
    if cores == 1:
        room += ", which holds one replica of one thread: only the batch limit could vary here"
    most = int(line["trials_asked"])
    enough = f"{candidates} candidates" + (", so that each was tried" if candidates <= most else "")
    return [
        f"Searched for: the highest rate whose 99th percentile of latency is at most "
        f"{MS * line['p99_limit_s']:g} ms. Asked for: {asked}; at most {most} trials. Each replica has as many "
        f"cores of its own as it has threads, and the defaults are candidates in any case. {room}, and permits "
        f"{enough}.",
        "The trials decide, and the rounds judge: the best of several noisy trials looks better than it is, so that "
        "ratio and verdict come from rounds that had no part in the choice.",
    ]


def _found(lines: "pd.DataFrame", trials: "pd.DataFrame") -> list[str]:
    """What each search chose, and what that came to."""
    texts = []
    for line in lines[lines["tuned"].astype(bool) & (lines["trials"] > 0)].to_dict("records"):
        own = trials[trials["configuration"] == line["configuration"]]
        default = own.iloc[0]
        is_default = bool(default["chosen"])
        name = f"{line['optimization']}{engagement_mark(line)} on {line['target']}"
        if not own["rate_per_s"].max() > 0:
            texts.append(f"{name}: no candidate kept the limit at any rate, so that the default stands.")
            continue
        if is_default:
            what = "no trial was better than the default, so that tuned is the default, served a second time"
        else:
            what = f"the search chose {_settings(line, 'chosen_')} instead of {_settings(default)}"
        ratio = with_interval(line["ratio"], line["ratio_low"], line["ratio_high"])
        so = f"highest rate × {ratio} that of the default: {VERDICT_TEXT[line['verdict']]}{_note(line)}"
        if line["outcome"] != "measured":
            so = why_not(line)
        elif missing(line["ratio"]):
            so = line["note"]
        texts.append(f"{name}: {what}. In the rounds: {so}.")
    return texts


def _settings(line: Any, prefix: str = "") -> str:
    """Such as `batch limit 4, threads 2, replicas 1`."""
    return ", ".join(f"{label} {line[f'{prefix}{name}']:.0f}" for name, label in SETTINGS.items())


def _note(line: dict[Any, Any]) -> str:
    more = line["more_rounds_needed"]
    needed = "" if missing(more) else f", {more:,.0f} more rounds would separate it"
    return f" ({line['note']}{needed})" if line["note"] else ""


def _compared(lines: "pd.DataFrame", trials: "pd.DataFrame", identifier: str, report: Report, stub: str) -> str:
    columns = [
        *(Column(name, label, "served as") for name, label in SETTINGS.items()),
        Column("rate", f"requests/s [{report.interval}]", "highest rate"),
        Column("searches", "searches", "highest rate"),
        Column("ratio", f"tuned / default [{report.interval}]", "in the same rounds", absent=""),
        Column("verdict", "verdict", "in the same rounds", left=True, absent=""),
    ]
    cells = [_cells(line, trials) for line in lines.to_dict("records")]
    return render(identifier, cells, columns, stub, _notes(lines, report))


def _cells(line: dict[Any, Any], trials: "pd.DataFrame") -> dict[str, Any]:
    name = f"{line['target']} · {configuration_label(line)}"
    if line["outcome"] != "measured":
        return {STUB: f"{name}: {why_not(line)}", MUTED: True}
    cell = {
        STUB: name,
        "rate": with_interval(line["rate_per_s"], line["rate_low_per_s"], line["rate_high_per_s"]),
        "searches": f"{line['searches']:.0f}",
    }
    same = trials["optimization"].eq(line["optimization"]) & trials["target"].eq(line["target"])
    served = trials[same & (trials["chosen"].astype(bool) if line["tuned"] else trials["trial"].eq(0))]
    if len(served):
        cell |= {name: f"{served.iloc[0][name]:.0f}" for name in SETTINGS}
    if line["tuned"]:
        cell["ratio"] = with_interval(line["ratio"], line["ratio_low"], line["ratio_high"])
        cell["verdict"] = VERDICT_TEXT[line["verdict"]] + _note(line)
    return cell


def _notes(lines: "pd.DataFrame", report: Report) -> list[str]:
    first = lines.iloc[0]
    judged = lines.dropna(subset=["noise_floor"])
    floor = "Noise floor: the A/A twin of the default was not measured, so that nothing may be called a difference."
    if len(judged):
        floor = (
            f"Noise floor from the A/A twin of the original's default: {factor(judged['noise_floor'].max())}; a step "
            f"of the search: up to {factor(judged['resolution'].max())}. No difference below either is called one."
        )
    kept, exceeded = lines["never_kept"].sum(), lines["never_exceeded"].sum()
    return [
        f"Highest rate: in every round by bisection, {first['steps']:.0f} blocks of a Poisson process between 0 and "
        "125 % of the configuration's capacity; mean over the rounds whose search came to its end. A verdict: Holm's p "
        f"over all lines of the study is below {1 - report.confidence:.2g} and the ratio lies beyond noise floor and "
        "step.",
        f"{floor} {rounds_note(lines)}",
        engagement_note(lines),
        f"Searches in which no rate kept the limit, which count as 0 and have no ratio: {kept:.0f}." if kept else "",
        f"Searches in which no rate broke the limit, so that the true one may be higher: {exceeded:.0f}."
        if exceeded
        else "",
    ]


def _trials(trials: "pd.DataFrame", lines: "pd.DataFrame", identifier: str, stub: str) -> str:
    columns = [
        *(Column(name, label, "candidate") for name, label in SETTINGS.items()),
        Column("rate", "requests/s", "highest rate"),
        Column("p99", "p99 there, ms", "highest rate"),
        Column("capacity", "capacity, requests/s"),
        Column("time", "took, s"),
        Column("state", "", left=True, absent=""),
    ]
    cells = []
    for line in trials.to_dict("records"):
        known = not missing(line["rate_per_s"])
        states = [
            "default" if line["trial"] == 0 else "",
            "★ chosen" if line["chosen"] else "",
            "" if line["outcome"] == "measured" else f"{line['outcome']}: {line['reason']}",
        ]
        cells.append(
            {
                GROUP: f"{line['target']} · {line['optimization']}{engagement_mark(line)}",
                STUB: f"{line['trial'] + 1}",
                MUTED: line["outcome"] != "measured",
                **{name: f"{line[name]:.0f}" for name in SETTINGS},
                "rate": number(line["rate_per_s"]) if known else MISSING,
                "p99": number(line["latency_p99_s"], MS),
                "capacity": number(line["capacity_per_s"]),
                "time": number(line["duration_s"]),
                "state": "; ".join(state for state in states if state),
            }
        )
    steps = lines["steps"].iloc[0]
    notes = [
        f"A trial starts a server of its own, finds its capacity and searches once, as in a round, in {steps:.0f} "
        "blocks; the first is the default, the others are those that Optuna's sampler (TPE) proposed, each once; "
        "where trials were left, one that had been disturbed was tried again. One search is noisy: that a trial found "
        "more than another is no verdict.",
        engagement_note(trials),
    ]
    return render(identifier, cells, columns, stub, notes)
