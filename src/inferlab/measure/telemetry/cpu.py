"""CPU time of a server's process tree, and of everything else on the machine meanwhile."""

import contextlib
import os
import time
from pathlib import Path

from inferlab.processes import process_tree
from inferlab.records import Frozen

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2
"""Of Linux's posix-timers: what the scheduler counted, user and system time."""


def tree_cpu_s(pid: int) -> float:
    """CPU seconds that the processes of the tree have run, to the nanosecond, threads that have ended included."""
    total_s = 0.0
    for member in process_tree(pid):
        with contextlib.suppress(OSError):  # it has ended
            total_s += time.clock_gettime(_cpu_clock(member))
    return total_s


def _cpu_clock(pid: int) -> int:
    """The clock of another process, as clock_getcpuclockid(3) makes it, which Python has for threads only."""
    return (~pid << 3) | CPUCLOCK_SCHED


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
