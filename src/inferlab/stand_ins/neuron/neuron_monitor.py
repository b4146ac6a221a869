"""Writes reports like neuron-monitor, in the documented format; refuses what is not documented.

It reports the process FAKE_NEURON_PID, else those that hold cores of devices in the folder INFERLAB_FAKE_NEURON; its
numbers are made up. FAKE_NEURON: empty, or `truncated`, `overlong`, `error`, `runtime-error`, `ends` or `nobody`.
"""

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

PROCESS_METRICS = {"neuroncore_counters", "memory_used", "neuron_runtime_vcpu_usage", "execution_stats"}


def period_s(config: dict[str, Any]) -> float:
    """The period that a configuration asks for; ends the program where it is not as documented."""
    if set(config) - {"period", "neuron_runtimes", "system_metrics"}:
        sys.exit(f"unknown keys in {sorted(config)}")
    for runtime in config["neuron_runtimes"]:
        unknown = {metric["type"] for metric in runtime["metrics"]} - PROCESS_METRICS
        if unknown or set(runtime) - {"tag_filter", "metrics"}:
            sys.exit(f"unknown metrics or keys in {runtime}")
    found = re.fullmatch(r"(\d+)(ms|s)", config["period"])
    if found is None:
        sys.exit(f"time: invalid duration {config['period']!r}")
    return int(found.group(1)) / (1000 if found.group(2) == "ms" else 1)


def runtime(pid: int, cores: Sequence[str], busy: float, period: float, error: str) -> dict[str, Any]:
    """One process and the cores that it uses; with an error a group holds nothing else."""
    latency = dict.fromkeys(("p0", "p1", "p25", "p50", "p75", "p99", "p100"), 0.001)
    groups: dict[str, dict[str, Any]] = {
        "neuroncore_counters": {
            "neuroncores_in_use": {core: {"neuroncore_utilization": busy, "flops": 10**12} for core in cores}
        },
        "execution_stats": {
            "error_summary": dict.fromkeys(("generic", "numerical", "transient", "model", "runtime", "hardware"), 0),
            "execution_summary": {"completed": 612, "completed_with_err": 0, "timed_out": 0},
            "latency_stats": {"total_latency": latency, "device_latency": latency},
        },
        "memory_used": {
            "neuron_runtime_used_bytes": {"host": 706740224, "neuron_device": 32 * 2**20, "usage_breakdown": {}},
            "loaded_models": [],
        },
    }
    report = {name: {"period": period, **({} if error else group), "error": error} for name, group in groups.items()}
    return {"pid": pid, "address": str(pid), "neuron_runtime_tag": str(pid), "error": "", "report": report}


def users() -> dict[int, list[str]]:
    """Processes that have cores, and those of them that they use."""
    if "FAKE_NEURON_PID" in os.environ:
        return {int(os.environ["FAKE_NEURON_PID"]): ["0"]}
    state = os.environ.get("INFERLAB_FAKE_NEURON", os.curdir)
    files = sorted(entry.path for entry in os.scandir(state) if entry.name.startswith("core-"))
    found: dict[int, list[str]] = {}
    for path in files:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123 (as below)
            pid, _, in_use = stream.read().partition(" ")
        if pid:
            found.setdefault(int(pid), []).extend([path.rpartition("-")[2]] if in_use else [])
    return found


def document(fault: str, period: float) -> dict[str, Any]:
    """One report: who uses cores, and somebody else beside them."""
    error = "could not read the counters" if fault == "error" else ""
    runtimes = [] if fault == "nobody" else [runtime(pid, cores, 60.0, period, error) for pid, cores in users().items()]
    if fault == "runtime-error":
        runtimes[0]["error"] = "the runtime does not answer"
    runtimes.append(runtime(1, ["1"], 100.0, period, ""))
    return {
        "neuron_runtime_data": runtimes,
        "system_data": {},
        "instance_info": {"instance_type": "inf2.xlarge", "error": "no aws-cli"},
        "neuron_hardware_info": {
            "neuron_device_version": "v2",
            "neuroncore_version": "v2",
            "neuron_device_count": 1,
            "error": "",
        },
    }


def main() -> None:
    """Report until the pipe breaks."""
    if len(sys.argv) != 3 or sys.argv[1] != "-c":
        sys.exit(f"unknown arguments {sys.argv[1:]}")
    with open(sys.argv[2], encoding="utf-8") as stream:  # noqa: PTH123 (pathlib would double its start-up time)
        period = period_s(json.load(stream))
    fault = os.environ.get("FAKE_NEURON", "")
    if fault == "ends":
        sys.exit("no Neuron device found")
    while True:
        time.sleep(period)
        line = json.dumps(document(fault, period))
        line = {"truncated": line[: len(line) // 2], "overlong": line + " " * 2**21}.get(fault, line)
        print(line, flush=True)


if __name__ == "__main__":
    main()
