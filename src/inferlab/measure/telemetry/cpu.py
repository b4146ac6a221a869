"""CPU time of a server's process tree, and of everything else on the machine meanwhile."""

import os
from pathlib import Path

from inferlab.processes import process_tree
from inferlab.records import Frozen

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """CPU seconds that the live threads of the tree have run, from the scheduler's nanosecond counters."""
    total_ns = 0
    for member in process_tree(pid):
        for path in Path(f"/proc/{member}/task").glob("*/schedstat"):
            try:
                total_ns += int(path.read_text(encoding="utf-8").split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total_ns / 1e9


class MachineCpu(Frozen):
    """CPU seconds of the whole machine since it started: at work, and taken by the hypervisor for others."""

    busy_s: float
    steal_s: float
    cores: int


def machine_cpu() -> MachineCpu:
    """Read /proc/stat (columns: user nice system idle iowait irq softirq steal; guest time is part of user)."""
    with Path("/proc/stat").open(encoding="utf-8") as stream:
        fields = [int(field) for field in stream.readline().split()[1:9]]
        cores = sum(1 for line in stream if line.startswith("cpu"))
    user, nice, system, _, _, interrupts, soft_interrupts, steal = fields
    busy = user + nice + system + interrupts + soft_interrupts
    return MachineCpu(busy_s=busy / TICKS_PER_S, steal_s=steal / TICKS_PER_S, cores=cores)
