"""The few numbers for `dvc metrics show`, and who measured what for the head of every page."""

import json
from typing import TYPE_CHECKING, Any

from inferlab.analyze.names import machine_names
from inferlab.analyze.results import ResultSet

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6


def machine_table(sets: list[ResultSet], this: tuple[str, str, str] | None) -> "pd.DataFrame":
    """One line a set: hardware, versions, and when and how much was measured. Versions are a JSON object.

    `machine` is a short name for people (names.py).
    """
    import pandas as pd

    names = machine_names(results.machine for results in sets)
    lines = [{"machine": names[results.key[:2]], **_machine_line(results, results.key == this)} for results in sets]
    columns = list(lines[0]) if lines else ["machine", "machine_id", "environment_id", "profile", "this_run"]
    return pd.DataFrame.from_records(lines, columns=columns)


def headline(
    this: tuple[str, str, str] | None, latency: "pd.DataFrame", optimization: "pd.DataFrame", noise: "pd.DataFrame"
) -> dict[str, Any]:
    """The numbers of the run named `this`, as nested names to numbers; empty without one.

    Accuracy by model, target and optimization; median latency over HTTP with batching under each closed-loop scenario;
    and by how many percent the median round ratio of the A/A twin is off, in the scenario where it is most.
    """
    if this is None:
        return {}
    latency, optimization, noise = (_of_set(frame, this) for frame in (latency, optimization, noise))
    found: dict[str, Any] = {"accuracy": {}, "latency_p50_ms": {}, "aa_twin_percent": {}}
    for line in optimization.dropna(subset=["quality"]).to_dict("records"):
        found["accuracy"].setdefault(line["model"], {}).setdefault(line["target"], {})[line["optimization"]] = round(
            float(line["quality"]), DECIMALS
        )
    shown = latency[(latency["outcome"] == "measured") & ~latency["twin"].astype(bool)]
    shown = shown[(shown["path"] == "fastapi") & (shown["batching"] == "dynamic") & (shown["loop"] == "closed")]
    for line in shown.drop_duplicates(["configuration", "scenario"]).to_dict("records"):
        place = found["latency_p50_ms"].setdefault(line["model"], {}).setdefault(line["scenario"], {})
        place[f"{line['target']}/{line['optimization']}"] = round(1000 * float(line["latency_p50_s"]), 4)
    for line in noise.to_dict("records"):
        place = found["aa_twin_percent"].setdefault(line["study"], {}).setdefault(line["model"], {})
        deviation = round(100 * abs(float(line["ratio_median"]) - 1), 4)
        place[line["metric"]] = max(deviation, place.get(line["metric"], 0.0))
    return {name: values for name, values in found.items() if values}


def _of_set(frame: "pd.DataFrame", key: tuple[str, str, str]) -> "pd.DataFrame":
    machine_id, environment_id, profile = key
    same = (frame["machine_id"] == machine_id) & (frame["environment_id"] == environment_id)
    return frame[same & (frame["profile"] == profile)]


def _machine_line(results: ResultSet, is_this: bool) -> dict[str, Any]:
    import pandas as pd

    machine, blocks = results.machine, results.blocks
    days = pd.to_datetime(blocks["started_unix_s"], unit="s", utc=True).dt.strftime("%Y-%m-%d")
    return {
        "machine_id": machine.machine_id,
        "environment_id": machine.environment_id,
        "profile": results.profile,
        "this_run": is_this,
        "provenance": results.provenance,
        "cpu_model": machine.cpu_model,
        "architecture": machine.architecture,
        "logical_cores": machine.logical_cores,
        "physical_cores": machine.physical_cores,
        "memory_gib": machine.memory_gib,
        "accelerators": ", ".join(f"{found.name} ({found.cores} cores)" for found in machine.accelerators),
        "python": machine.python,
        "packages": json.dumps(machine.packages, sort_keys=True),
        "server_cores": len(machine.core_plan.server),
        "load_cores": len(machine.core_plan.load),
        "core_plan": machine.core_plan.note,
        "measured_from": days.min() if len(days) else "",
        "measured_to": days.max() if len(days) else "",
        "rounds": int(blocks["round"].nunique()),
        "blocks": len(blocks),
        "blocks_invalid": int((blocks["outcome"] != "measured").sum()),
    }
