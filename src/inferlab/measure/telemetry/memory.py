"""Memory of a server's process tree."""

import contextlib
import re
from pathlib import Path

from inferlab.measure.telemetry.base import TELEMETRY, Reading, TelemetrySource
from inferlab.processes import process_tree
from inferlab.records import Frozen

RESET_PEAK = "5"
"""What proc(5) wants in clear_refs to start the high-water mark of the resident set anew."""
KIB_PER_MIB = 1024


@TELEMETRY.register("memory")
class Memory(TelemetrySource):
    """Of the server alone, in MiB; its peak PSS also in percent of the machine's memory."""

    columns = ("memory_rss_mib", "memory_peak_rss_mib", "memory_pss_mib", "memory_utilization_percent")

    def begin(self, server_pid: int) -> None:
        reset_tree_peak(server_pid)

    def end(self, server_pid: int) -> Reading:
        memory = tree_memory(server_pid)
        return {
            "memory_rss_mib": memory.rss_mib,
            "memory_peak_rss_mib": memory.peak_rss_mib,
            "memory_pss_mib": memory.peak_pss_mib,
            "memory_utilization_percent": 100 * memory.peak_pss_mib / machine_memory_mib(),
        }


class TreeMemory(Frozen):
    """Memory of a process tree; `rss` counts a page once for each process that shares it, `pss` once in all.

    The kernel keeps the peak of the resident set alone, so the peak PSS is each process's PSS now and what its resident
    set lost since its peak: pages that come and go are its own. Peaks of several processes need not coincide.
    """

    rss_mib: float
    peak_rss_mib: float
    peak_pss_mib: float


def reset_tree_peak(pid: int) -> None:
    """Begin to look for the largest memory of the tree from now on."""
    for member in process_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{member}/clear_refs").write_text(RESET_PEAK, encoding="utf-8")


def tree_memory(pid: int) -> TreeMemory:
    """What the tree holds now, and at most since `reset_tree_peak`."""
    rss_kib = peak_rss_kib = peak_pss_kib = 0
    for member in process_tree(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text(encoding="utf-8")
            pss_kib = _field_kib(Path(f"/proc/{member}/smaps_rollup").read_text(encoding="utf-8"), "Pss")
        except (FileNotFoundError, ProcessLookupError):
            continue
        now_kib = _field_kib(status, "VmRSS")
        largest_kib = max(now_kib, _field_kib(status, "VmHWM"))
        rss_kib += now_kib
        peak_rss_kib += largest_kib
        peak_pss_kib += pss_kib + largest_kib - now_kib
    return TreeMemory(
        rss_mib=rss_kib / KIB_PER_MIB,
        peak_rss_mib=peak_rss_kib / KIB_PER_MIB,
        peak_pss_mib=peak_pss_kib / KIB_PER_MIB,
    )


def _field_kib(text: str, name: str) -> int:
    found = re.search(rf"(?m)^{name}:\s+(\d+) kB", text)
    return int(found.group(1)) if found else 0


def machine_memory_mib() -> float:
    """Total memory of the machine in MiB."""
    return _field_kib(Path("/proc/meminfo").read_text(encoding="utf-8"), "MemTotal") / KIB_PER_MIB
