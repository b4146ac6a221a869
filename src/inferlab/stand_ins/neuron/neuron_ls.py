"""Answers like neuron-ls where there are Inferentia2 devices, in the documented format; refuses what it does not know.

The devices are those of the folder INFERLAB_FAKE_NEURON, the processes those that hold its cores.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

DOCUMENTED = {"--json-output", "-j", "--show-all-procs", "-a", "--wide", "-w", "--topology", "-t"}
CORES_PER_DEVICE = 2
MEMORY_BYTES = 32 * 2**30


def processes(state: Path, cores: list[int]) -> list[dict[str, Any]]:
    """Those that hold one of these cores."""
    files = [state / f"core-{core}" for core in cores]
    pids = [int((file.read_text() or "0").split()[0]) for file in files if file.is_file()]
    alive = [pid for pid in dict.fromkeys(pids) if Path(f"/proc/{pid}").exists()]
    return [{"pid": pid, "command": "python", "neuron_runtime_version": "2.34.10"} for pid in alive]


def main() -> None:
    """Print the devices as JSON."""
    if unknown := set(sys.argv[1:]) - DOCUMENTED:
        sys.exit(f"unknown arguments {sorted(unknown)}")
    if not {"--json-output", "-j"} & set(sys.argv[1:]):
        sys.exit("this stand-in has no text output")
    state = Path(os.environ["INFERLAB_FAKE_NEURON"])
    devices = []
    for device in range(int((state / "devices").read_text())):
        cores = [CORES_PER_DEVICE * device + core for core in range(CORES_PER_DEVICE)]
        devices.append(
            {
                "neuron_device": device,
                "bdf": f"00:{0x1F - device:02x}.0",
                "cpu_affinity": "0-3",
                "numa_node": "0",
                "connected_to": [],
                "nc_count": CORES_PER_DEVICE,
                "memory_size": MEMORY_BYTES,
                "neuroncore_ids": cores,
                "neuron_processes": processes(state, cores),
            }
        )
    print(json.dumps(devices))


if __name__ == "__main__":
    main()
