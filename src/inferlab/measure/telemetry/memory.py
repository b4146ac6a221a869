"""Memory of a server's process tree."""

import contextlib
import re
from pathlib import Path

from inferlab.processes import process_tree

RESET_PEAK = "5"
"""What proc(5) wants in clear_refs to start the high-water mark of the resident set anew."""


def reset_tree_peak(pid: int) -> None:
    """Begin to look for the largest memory of the tree from now on."""
    for member in process_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{member}/clear_refs").write_text(RESET_PEAK, encoding="utf-8")


def tree_peak_pss_mib(pid: int) -> float:
    """The largest proportional set size (PSS) of the tree in MiB since `reset_tree_peak`.

    PSS is private pages and each shared page's fair part. The kernel keeps the peak of the resident set alone, so this
    is each process's PSS now and what its resident set lost since its peak: pages that come and go are its own.
    """
    total_kib = 0
    for member in process_tree(pid):
        try:
            pss_kib = _field_kib(Path(f"/proc/{member}/smaps_rollup"), "Pss")
            status = Path(f"/proc/{member}/status")
            lost_kib = _field_kib(status, "VmHWM") - _field_kib(status, "VmRSS")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total_kib += pss_kib + max(0, lost_kib)
    return total_kib / 1024


def _field_kib(path: Path, name: str) -> int:
    found = re.search(rf"(?m)^{name}:\s+(\d+) kB", path.read_text(encoding="utf-8"))
    return int(found.group(1)) if found else 0


def machine_memory_mib() -> float:
    """Total memory of the machine in MiB."""
    return _field_kib(Path("/proc/meminfo"), "MemTotal") / 1024
