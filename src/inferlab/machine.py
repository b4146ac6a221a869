"""What machine is this: hardware id, environment id, core plan. Facts that vary from minute to minute are not here."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inferlab.files import digest_of
from inferlab.records import Accelerator, CorePlan, MachineRecord

CPU_TOPOLOGY = Path("/sys/devices/system/cpu")

ENGINE_PACKAGES = (
    "aiohttp",
    "fastapi",
    "httptools",
    "neuronx-cc",
    "nncf",
    "numpy",
    "onnxruntime",
    "openvino",
    "orjson",
    "pydantic",
    "tensorrt",
    "torch",
    "torch-neuronx",
    "torch-pruning",
    "torchao",
    "tokenizers",
    "uvicorn",
    "uvloop",
)
"""Distributions whose version can change a measurement; together with Python they make the environment."""


def describe_machine(accelerators: Sequence[Accelerator]) -> MachineRecord:
    """Describe this machine, given the accelerators that the targets found on it."""
    available = sorted(os.sched_getaffinity(0))
    groups = physical_cores(available)
    hardware = {
        "cpu_model": cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "architecture": platform.machine(),
        "logical_cores": len(available),
        "physical_cores": len(groups),
        "memory_gib": memory_gib(Path("/proc/meminfo").read_text(encoding="utf-8")),
        "accelerators": [accelerator.model_dump() for accelerator in accelerators],
    }
    packages = installed(ENGINE_PACKAGES)
    software = {"python": platform.python_version(), "packages": packages}
    name = f"{_slug(str(hardware['cpu_model']))}-{len(available)}c-{hardware['memory_gib']}g"
    torch = packages.get("torch", "none").partition("+")[0]
    return MachineRecord.model_validate(
        {
            **hardware,
            **software,
            "machine_id": f"{name}-{digest_of(hardware)[:8]}",
            "environment_id": f"py{platform.python_version()}-torch{torch}-{digest_of(software)[:8]}",
            "core_plan": plan_cores(groups),
        }
    )


def cpu_model(cpuinfo: str) -> str:
    """The processor's name with family, model and stepping, since some hypervisors hide the name."""
    fields = dict(re.findall(r"(?m)^([\w ]+?)\s*:\s*(.*)$", cpuinfo.split("\n\n", 1)[0]))
    name = str(fields.get("model name", "unknown processor")).strip()
    if "cpu family" in fields:
        return f"{name} (family {fields['cpu family']}, model {fields.get('model')}, stepping {fields.get('stepping')})"
    return name


def memory_gib(meminfo: str) -> int:
    """Total memory rounded to whole GiB, so that a kernel update does not make another machine of it."""
    found = re.search(r"(?m)^MemTotal:\s+(\d+) kB", meminfo)
    return round(int(found.group(1)) / 2**20) if found else 0


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions of the distributions that are installed, without importing them."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def physical_cores(available: Sequence[int], topology: Path = CPU_TOPOLOGY) -> list[list[int]]:
    """The available logical CPUs grouped by physical core, in the order of their lowest number."""
    groups: dict[str, list[int]] = {}
    for cpu in available:
        siblings = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        key = siblings.read_text(encoding="utf-8").strip() if siblings.is_file() else str(cpu)
        groups.setdefault(key, []).append(cpu)
    return sorted(groups.values())


def plan_cores(groups: Sequence[Sequence[int]]) -> CorePlan:
    """One physical core for the load, the others for the server, one thread of each: no siblings across the border.

    The load gets the first core, since kernels send most interrupts there.
    """
    if len(groups) == 1:
        note = "one physical core: server and load share it, so latencies include the load client's work"
        return CorePlan(server=(groups[0][-1],), load=(groups[0][0],), isolated=False, note=note)
    server = tuple(group[0] for group in groups[1:])
    note = f"load on CPU {groups[0][0]}, server on CPU {', '.join(map(str, server))}; one thread of each physical core"
    return CorePlan(server=server, load=(groups[0][0],), isolated=True, note=note)


def _slug(text: str) -> str:
    plain = re.sub(r"\(.*?\)|processor|cpu|@.*", " ", text.lower())
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:40] or "machine"
